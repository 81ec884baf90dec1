// The structures of CUDA's functions, under the names that api.toml uses.
#pragma once
#include "core/types.hpp"

using fake::AllocationProp;
using fake::Dim3;
using fake::DriverArray;
using fake::DriverCopy2d;
using fake::DriverCopy3d;
using fake::DriverKernelNode;
using fake::DriverLaunch;
using fake::FunctionAttributes;
using fake::PointerAttributes;
using fake::RuntimeCopy3d;
using fake::RuntimeExtent;
using fake::RuntimeKernelNode;
using fake::RuntimeLaunch;
using fake::RuntimePeerCopy3d;
using fake::RuntimePitched;
using fake::UpdateResult;
