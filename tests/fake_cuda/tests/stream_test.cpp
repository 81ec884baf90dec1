#include <thread>

#include "support.hpp"

// The kernels of these tests, as host functions of their names.
extern "C" {
extern const std::size_t add_to_param_sizes[];
const std::size_t add_to_param_sizes[] = {8, 4, 4, 0};
void add_to_host(unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void** params) {
    float* data = *static_cast<float**>(params[0]);
    for (int i = 0; i < *static_cast<int*>(params[2]); ++i)
        data[i] += *static_cast<float*>(params[1]);
}

struct Job {
    float* target;
    float values[40];
    int count;
};
/// Its parameters are told by nothing: what is readable is kept.
void take_job_host(unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void** params) {
    const Job& job = *static_cast<const Job*>(params[0]);
    std::copy_n(job.values, job.count, job.target);
}

void scale_host(unsigned gx, unsigned, unsigned, unsigned bx, unsigned, unsigned, void** params) {
    const bool twice = std::strstr(fake_cuda_kernel_name(), "scale<float, 2>") != nullptr;
    float* data = *static_cast<float**>(params[0]);
    for (unsigned i = 0; i < gx * bx; ++i)
        data[i] *= *static_cast<float*>(params[1]) * (twice ? 2.0F : 1.0F);
}
}

namespace fake_test {

void* kernel(const char* name) {
    static char image[] = "// no code";
    void* module = nullptr;
    void* function = nullptr;
    EXPECT_EQ(cuModuleLoadData(&module, image), 0);
    void** fat = __cudaRegisterFatBinary(image);
    auto* host = new char;
    __cudaRegisterFunction(fat, host, host, name, -1, nullptr, nullptr, nullptr, nullptr, nullptr);
    EXPECT_EQ(__cudaGetKernel(&function, host), 0);
    return function;
}

int launch_add(void* stream, float* data, float by, int count) {
    static void* const add = kernel("add_to");
    void* params[] = {&data, &by, &count};
    return cuLaunchKernel(add, 1, 1, 1, 32, 1, 1, 0, stream, params, nullptr);
}

namespace {

using Floats = std::vector<float>;

TEST(Stream, NothingRunsBeforeItIsWaitedFor) {
    const Device<float> data(Floats{1, 2});
    void* stream = make_stream();
    ASSERT_EQ(launch_add(stream, data.get(), 10, 2), 0);
    EXPECT_EQ(data.values(), (Floats{1, 2})) << "another stream's copy must not wait for it";
    EXPECT_EQ(fake_cuda_pending(), 1U);
    ASSERT_EQ(cudaStreamSynchronize(stream), 0);
    EXPECT_EQ(fake_cuda_pending(), 0U);
    EXPECT_EQ(data.values(), (Floats{11, 12}));
    ASSERT_EQ(cudaStreamDestroy(stream), 0);
    EXPECT_EQ(cudaStreamSynchronize(stream), 400);
}

TEST(Stream, PumpRunsEverything) {
    const Device<float> data(Floats{0});
    void* streams[] = {make_stream(), make_stream()};
    for (void* stream : streams)
        launch_add(stream, data.get(), 1, 1);
    fake_cuda_pump();
    EXPECT_EQ(data.values(), Floats{2});
}

TEST(Stream, OrderAcrossStreamsNeedsAnEvent) {
    const Device<float> data(Floats{0});
    void* producer = make_stream();
    void* consumer = make_stream();
    void* pinned = nullptr;
    ASSERT_EQ(cudaMallocHost(&pinned, 4), 0);
    launch_add(producer, data.get(), 7, 1);
    cudaMemcpyAsync(pinned, data.get(), 4, 2, consumer);
    cudaStreamSynchronize(consumer);
    EXPECT_EQ(*static_cast<float*>(pinned), 0) << "the bug shows";
    void* event = make_event();
    launch_add(producer, data.get(), 7, 1);
    ASSERT_EQ(cudaEventRecord(event, producer), 0);
    launch_add(producer, data.get(), 100, 1);  // behind the event: not waited for
    ASSERT_EQ(cudaStreamWaitEvent(consumer, event, 0), 0);
    cudaMemcpyAsync(pinned, data.get(), 4, 2, consumer);
    cudaStreamSynchronize(consumer);
    EXPECT_EQ(*static_cast<float*>(pinned), 14);
    EXPECT_EQ(fake_cuda_pending(), 1U);
    fake_cuda_pump();
    cudaFreeHost(pinned);
}

TEST(Stream, TheLegacyStreamOrdersBlockingOnes) {
    const Device<float> data(Floats{0});
    void* blocking = make_stream(0);
    launch_add(blocking, data.get(), 1, 1);
    EXPECT_EQ(data.values(), Floats{1}) << "cudaMemcpy runs on the legacy stream";
    launch_add(nullptr, data.get(), 1, 1);
    launch_add(blocking, data.get(), 1, 1);
    cudaStreamSynchronize(blocking);
    EXPECT_EQ(data.values(), Floats{3});
}

TEST(Stream, TheNullStreamOfATwinIsTheThreads) {
    const Device<float> data(Floats{0});
    static void* const add = kernel("add_to");
    float* pointer = data.get();
    float by = 1;
    int count = 1;
    void* params[] = {&pointer, &by, &count};
    ASSERT_EQ(cuLaunchKernel_ptsz(add, 1, 1, 1, 1, 1, 1, 0, nullptr, params, nullptr), 0);
    unsigned long long legacy = 0;
    unsigned long long own = 0;
    cudaStreamGetId(nullptr, &legacy);
    cudaStreamGetId_ptsz(nullptr, &own);
    EXPECT_NE(legacy, own);
    EXPECT_EQ(cudaStreamQuery_ptsz(nullptr), 600);
    EXPECT_EQ(cudaStreamQuery_ptsz(nullptr), 0) << "asking gets it on";
    EXPECT_EQ(data.values(), Floats{1});
}

TEST(Stream, PageableMemoryIsReadAtOncePinnedLater) {
    const Device<float> data(Floats{0, 0});
    void* stream = make_stream();
    void* pinned = nullptr;
    ASSERT_EQ(cudaMallocHost(&pinned, 4), 0);
    float pageable = 1;
    *static_cast<float*>(pinned) = 1;
    cudaMemcpyAsync(data.get(), &pageable, 4, 1, stream);
    cudaMemcpyAsync(data.get() + 1, pinned, 4, 1, stream);
    pageable = 5;
    *static_cast<float*>(pinned) = 5;
    cudaStreamSynchronize(stream);
    EXPECT_EQ(data.values(), (Floats{1, 5}));
    cudaFreeHost(pinned);
}

TEST(Stream, ACopyToPageableMemoryWaits) {
    const Device<float> data(Floats{0});
    void* stream = make_stream();
    launch_add(stream, data.get(), 4, 1);
    float pageable = 0;
    ASSERT_EQ(cudaMemcpyAsync(&pageable, data.get(), 4, 2, stream), 0);
    EXPECT_EQ(pageable, 4);
    EXPECT_EQ(cudaStreamQuery(stream), 0);
}

TEST(Stream, EventsTellWhatIsDone) {
    const Device<float> data(Floats{0});
    void* stream = make_stream();
    void* start = make_event();
    void* end = make_event();
    EXPECT_EQ(cudaEventQuery(start), 0) << "never recorded";
    cudaEventRecord(start, stream);
    launch_add(stream, data.get(), 1, 1);
    cudaEventRecord(end, stream);
    float milliseconds = -1;
    EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), 600);
    EXPECT_EQ(cudaEventSynchronize(end), 0);
    EXPECT_EQ(cudaEventQuery(end), 0);
    EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), 0);
    EXPECT_GE(milliseconds, 0);
    EXPECT_EQ(cudaEventDestroy(end), 0);
    EXPECT_EQ(cudaEventQuery(end), 400);
}

TEST(Stream, HostFunctionsRunInOrder) {
    const Device<float> data(Floats{3});
    void* stream = make_stream();
    struct Seen {
        const float* data;
        float value;
    } seen{data.get(), 0};
    launch_add(stream, data.get(), 1, 1);
    cudaLaunchHostFunc(
        stream, [](void* p) { static_cast<Seen*>(p)->value = *static_cast<Seen*>(p)->data; },
        &seen);
    launch_add(stream, data.get(), 1, 1);
    cudaStreamSynchronize(stream);
    EXPECT_EQ(seen.value, 4);
}

TEST(Stream, ThreadsDoNotDisturbEachOther) {
    constexpr int threads = 8;
    std::vector<float> results(threads);
    std::vector<std::thread> all;
    for (int t = 0; t < threads; ++t) {
        all.emplace_back([t, &results] {
            void* stream = nullptr;
            void* pinned = nullptr;
            float* data = nullptr;
            cudaStreamCreateWithFlags(&stream, non_blocking);
            cudaMallocHost(&pinned, sizeof(float));
            for (int i = 0; i < 50; ++i) {
                cudaMallocAsync(reinterpret_cast<void**>(&data), sizeof(float), stream);
                *static_cast<float*>(pinned) = results[t];
                cudaMemcpyAsync(data, pinned, sizeof(float), 1, stream);
                launch_add(stream, data, static_cast<float>(t), 1);
                cudaMemcpyAsync(pinned, data, sizeof(float), 2, stream);
                cudaFreeAsync(data, stream);
                cudaStreamSynchronize(stream);
                results[t] = *static_cast<float*>(pinned);
            }
            cudaFreeHost(pinned);
            cudaStreamDestroy(stream);
        });
    }
    for (std::thread& thread : all)
        thread.join();
    for (int t = 0; t < threads; ++t)
        EXPECT_EQ(results[t], 50.0F * static_cast<float>(t));
}

TEST(Kernel, TheNameTellsTheParameters) {
    const Device<float> data(Floats{1, 2, 3, 4});
    void* scale = kernel(
        "_ZN2ns5scaleIfLi2EEEvPT_ffi");  // void ns::scale<float, 2>(float*, float, float, int)
    float* pointer = data.get();
    float by = 3;
    float unused = 0;
    int count = 4;
    void* params[] = {&pointer, &by, &unused, &count};
    const std::size_t before = fake_cuda_launches("scale");
    ASSERT_EQ(__cudaLaunchKernel(scale, {2, 1, 1}, {2, 1, 1}, params, 0, nullptr), 0);
    by = 1000;  // a launch keeps its own copy
    EXPECT_EQ(data.values(), (Floats{6, 12, 18, 24}));
    EXPECT_EQ(fake_cuda_launches("scale"), before + 1);
    size_t offset = 0;
    size_t bytes = 0;
    ASSERT_EQ(cuFuncGetParamInfo(scale, 3, &offset, &bytes), 0);
    EXPECT_EQ(offset, 16U);
    EXPECT_EQ(bytes, 4U);
    EXPECT_EQ(cuFuncGetParamInfo(scale, 4, &offset, &bytes), 1);
}

TEST(Kernel, OfUnknownParametersAllIsKept) {
    const Device<float> data(Floats(40, 0));
    void* take = kernel("take_job");
    Job job{data.get(), {}, 40};
    for (int i = 0; i < 40; ++i)
        job.values[i] = static_cast<float>(i);
    void* params[] = {&job};
    ASSERT_EQ(cuLaunchKernel(take, 1, 1, 1, 1, 1, 1, 0, nullptr, params, nullptr), 0);
    job = {};
    EXPECT_EQ(data.values()[39], 39);
    job = {data.get(), {8}, 1};
    size_t bytes = sizeof job;
    void* extra[] = {reinterpret_cast<void*>(1), &job, reinterpret_cast<void*>(2), &bytes, nullptr};
    ASSERT_EQ(cuLaunchKernel(take, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra), 0);
    EXPECT_EQ(data.values()[0], 8);
}

TEST(Kernel, WithoutAHostFunctionOnlyCounts) {
    void* nothing = kernel("_Z7nothingPf");
    const Device<float> data(Floats{1});
    float* pointer = data.get();
    void* params[] = {&pointer};
    ASSERT_EQ(__cudaLaunchKernel(nothing, {1, 1, 1}, {1, 1, 1}, params, 0, nullptr), 0);
    EXPECT_EQ(fake_cuda_launches("nothing"), 0U);
    fake_cuda_pump();
    EXPECT_EQ(fake_cuda_launches("nothing"), 1U);
    EXPECT_EQ(data.values(), Floats{1});
}

TEST(Kernel, WrongUseIsAnError) {
    void* add = kernel("add_to");
    EXPECT_EQ(cuLaunchKernel(add, 0, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr), 1);
    EXPECT_EQ(cuLaunchKernel(add, 1, 1, 1, 2048, 1, 1, 0, nullptr, nullptr, nullptr), 1);
    EXPECT_EQ(cuLaunchKernel(&add, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr), 400);
    EXPECT_EQ(cudaLaunchKernel(&add, {1, 1, 1}, {1, 1, 1}, nullptr, 0, nullptr), 98);
    void* module = nullptr;
    EXPECT_EQ(cuModuleLoadData(&module, "garbage"), 200);
    ASSERT_EQ(cuModuleLoadData(&module, ".version 8.0\n.visible .entry there()"), 0);
    void* function = nullptr;
    EXPECT_EQ(cuModuleGetFunction(&function, module, "elsewhere"), 500);
    EXPECT_EQ(cuModuleGetFunction(&function, module, "there"), 0);
    EXPECT_EQ(cuModuleUnload(module), 0);
}

}  // namespace
}  // namespace fake_test
