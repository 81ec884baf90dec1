// The devices: as many as FAKE_CUDA_DEVICES says (1), of compute capability 8.0.
#pragma once
#include "core/stream.hpp"

namespace fake {

int device_count();
bool is_device(int device);
/// CUdevice_attribute and cudaDeviceAttr share their numbers.
int device_attribute(int attribute, int device);
void fill_properties(void* properties, int device, int major, bool second_version);

/// The runtime's current device of this thread.
int current_device();
int set_device(int device);

// Contexts, as the driver's handles; with the lock held.
Context* find_context(void* handle);
Context& make_context(int device, unsigned flags, bool primary = false);
/// Null: nobody uses it.
Context* existing_primary_context(int device);
int destroy_context(Lock& lock, Context& context);
int reset_device(Lock& lock, int device);
std::vector<Context*>& context_stack();

}  // namespace fake
