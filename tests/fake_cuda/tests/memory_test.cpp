#include <thread>

#include "support.hpp"

namespace fake_test {
namespace {

TEST(Memory, DeviceMemoryKnowsWhereItIs) {
    const Device<float> memory(100);
    PointerAttributes attributes{};
    ASSERT_EQ(cudaPointerGetAttributes(&attributes, memory.get() + 50), 0);
    EXPECT_EQ(attributes.type, 2);
    EXPECT_EQ(attributes.device, 0);
    EXPECT_EQ(attributes.host_pointer, nullptr);
    uint64_t base = 0;
    size_t bytes = 0;
    ASSERT_EQ(cuMemGetAddressRange_v2(&base, &bytes, reinterpret_cast<uint64_t>(memory.get() + 99)),
              0);
    EXPECT_EQ(base, reinterpret_cast<uint64_t>(memory.get()));
    EXPECT_EQ(bytes, 400U);
    EXPECT_EQ(
        cuMemGetAddressRange_v2(&base, &bytes, reinterpret_cast<uint64_t>(memory.get() + 100)),
        500);
}

TEST(Memory, OfTheProgramsOwnNothingIsKnown) {
    int local = 0;
    PointerAttributes attributes{};
    ASSERT_EQ(cudaPointerGetAttributes(&attributes, &local), 0);
    EXPECT_EQ(attributes.type, 0);
    unsigned type = 7;
    EXPECT_EQ(cuPointerGetAttribute(&type, 2, reinterpret_cast<uint64_t>(&local)), 1);
    uint64_t start = 7;
    const int which[] = {2, 11};
    void* values[] = {&type, &start};
    ASSERT_EQ(cuPointerGetAttributes(2, which, values, reinterpret_cast<uint64_t>(&local)), 0);
    EXPECT_EQ(type, 0U);
    EXPECT_EQ(start, 0U);
}

TEST(Memory, KindsOfHostMemory) {
    void* pinned = nullptr;
    ASSERT_EQ(cudaHostAlloc(&pinned, 64, 2), 0);
    void* on_device = nullptr;
    ASSERT_EQ(cudaHostGetDevicePointer(&on_device, pinned, 0), 0);
    EXPECT_EQ(on_device, pinned);
    EXPECT_EQ(cudaFree(pinned), 1);
    EXPECT_EQ(cudaFreeHost(pinned), 0);
    std::vector<char> own(128);
    EXPECT_EQ(cudaHostUnregister(own.data()), 713);
    EXPECT_EQ(cudaHostRegister(own.data(), own.size(), 0), 0);
    EXPECT_EQ(cudaHostRegister(own.data(), own.size(), 0), 712);
    EXPECT_EQ(cudaHostUnregister(own.data()), 0);
    void* managed = nullptr;
    ASSERT_EQ(cudaMallocManaged(&managed, 64, 1), 0);
    PointerAttributes attributes{};
    ASSERT_EQ(cudaPointerGetAttributes(&attributes, managed), 0);
    EXPECT_EQ(attributes.type, 3);
    EXPECT_EQ(cudaFree(managed), 0);
}

TEST(Memory, WrongUseIsAnError) {
    void* pointer = nullptr;
    EXPECT_EQ(cudaMalloc(&pointer, size_t{1} << 50), 2);
    EXPECT_EQ(cudaGetLastError(), 2);
    EXPECT_EQ(cudaGetLastError(), 0);
    int local = 0;
    EXPECT_EQ(cudaFree(&local), 1);
    const Device<char> small(16);
    char buffer[64] = {};
    EXPECT_EQ(cudaMemcpy(small.get(), buffer, 64, 1), 1) << "longer than the block";
    EXPECT_EQ(cudaMemcpy(buffer, buffer + 32, 16, 2), 1) << "not from the device";
    EXPECT_EQ(cudaMemcpy(buffer, small.get(), 16, 9), 21) << "no direction";
    EXPECT_EQ(cudaFree(nullptr), 0);
}

TEST(Memory, VirtualMemoryMapsWhatWasCreated) {
    size_t unit = 0;
    const AllocationProp prop{1, 0, 1, 0};
    ASSERT_EQ(cuMemGetAllocationGranularity(&unit, &prop, 0), 0);
    uint64_t area = 0;
    ASSERT_EQ(cuMemAddressReserve(&area, 8 * unit, 0, 0, 0), 0);
    unsigned long long handle = 0;
    ASSERT_EQ(cuMemCreate(&handle, unit, &prop, 0), 0);
    ASSERT_EQ(cuMemMap(area, unit, 0, handle, 0), 0);
    ASSERT_EQ(cuMemMap(area + unit, unit, 0, handle, 0), 0) << "the same memory twice";
    ASSERT_EQ(cuMemSetAccess(area, 2 * unit, nullptr, 1), 0);
    ASSERT_EQ(cuMemRelease(handle), 0);
    ASSERT_EQ(cuMemsetD32_v2(area, 0x01020304, unit / 4), 0);
    unsigned twin = 0;
    ASSERT_EQ(cuMemcpyDtoH_v2(&twin, area + unit + 4, 4), 0);
    EXPECT_EQ(twin, 0x01020304U);
    uint64_t base = 0;
    size_t bytes = 0;
    ASSERT_EQ(cuMemGetAddressRange_v2(&base, &bytes, area + unit + 1), 0);
    EXPECT_EQ(base, area + unit);
    EXPECT_EQ(bytes, unit);
    EXPECT_EQ(cuMemUnmap(area, 2 * unit), 0);
    EXPECT_EQ(cuMemGetAddressRange_v2(&base, &bytes, area), 500);
    EXPECT_EQ(cuMemAddressFree(area, 8 * unit), 0);
}

TEST(Memory, RowsAndPlanes) {
    std::vector<int> host(6 * 4);
    for (std::size_t i = 0; i < host.size(); ++i)
        host[i] = static_cast<int>(i);
    void* device = nullptr;
    size_t pitch = 0;
    ASSERT_EQ(cudaMallocPitch(&device, &pitch, 6 * sizeof(int), 4), 0);
    ASSERT_GE(pitch, 6 * sizeof(int));
    ASSERT_EQ(cudaMemcpy2D(device, pitch, host.data(), 24, 24, 4, 1), 0);
    std::vector<int> inner(2 * 3);
    DriverCopy2d copy{};
    copy.src_x = 2 * sizeof(int);
    copy.src_y = 1;
    copy.src_type = 2;
    copy.src_device = reinterpret_cast<uint64_t>(device);
    copy.src_pitch = pitch;
    copy.dst_type = 1;
    copy.dst_host = inner.data();
    copy.dst_pitch = copy.width = 2 * sizeof(int);
    copy.height = 3;
    ASSERT_EQ(cuMemcpy2D_v2(&copy), 0);
    EXPECT_EQ(inner, (std::vector<int>{8, 9, 14, 15, 20, 21}));
    std::vector<int> planes(24, -1);
    RuntimeCopy3d cube{};
    cube.src = {device, pitch, 24, 2};
    cube.dst = {planes.data(), 24, 24, 2};
    cube.extent = {24, 2, 2};
    cube.kind = 2;
    ASSERT_EQ(cudaMemcpy3D(&cube), 0);
    EXPECT_EQ(planes, host);
    EXPECT_EQ(cudaFree(device), 0);
}

TEST(Context, DestroyedOnesTakeTheirMemoryAlong) {
    void* before = nullptr;
    ASSERT_EQ(cuCtxGetCurrent(&before), 0);
    void* context = nullptr;
    ASSERT_EQ(cuCtxCreate_v2(&context, 0, 0), 0);
    uint64_t pointer = 0;
    ASSERT_EQ(cuMemAlloc_v2(&pointer, 64), 0);
    void* stream = nullptr;
    ASSERT_EQ(cuStreamCreate(&stream, 0), 0);
    ASSERT_EQ(cuCtxDestroy_v2(context), 0);
    size_t bytes = 0;
    EXPECT_EQ(cuMemGetAddressRange_v2(nullptr, &bytes, pointer), 500);
    EXPECT_EQ(cuStreamSynchronize(stream), 400);
    void* after = nullptr;
    ASSERT_EQ(cuCtxGetCurrent(&after), 0);
    EXPECT_EQ(after, before);
}

TEST(Context, ThreadsHaveTheirOwn) {
    cudaSetDevice(0);
    void* mine = nullptr;
    ASSERT_EQ(cuCtxGetCurrent(&mine), 0);
    EXPECT_NE(mine, nullptr);
    void* other = mine;
    std::thread([&] { cuCtxGetCurrent(&other); }).join();
    EXPECT_EQ(other, nullptr);
}

}  // namespace
}  // namespace fake_test
