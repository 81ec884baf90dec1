#include <thread>

#include "support.hpp"

namespace fake_test {
namespace {

using Floats = std::vector<float>;
constexpr int relaxed = 2;

void* captured_add(void* stream, float* data, float by, int times) {
    void* graph = nullptr;
    EXPECT_EQ(cudaStreamBeginCapture(stream, relaxed), 0);
    for (int i = 0; i < times; ++i)
        EXPECT_EQ(launch_add(stream, data, by, 1), 0);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), 0);
    return graph;
}

TEST(Graph, CaptureDoesNotRunAndReplaysDo) {
    const Device<float> data(Floats{0});
    void* stream = make_stream();
    void* graph = captured_add(stream, data.get(), 1, 2);
    EXPECT_EQ(data.values(), Floats{0});
    size_t count = 0;
    ASSERT_EQ(cudaGraphGetNodes(graph, nullptr, &count), 0);
    EXPECT_EQ(count, 2U);
    void* exec = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), 0);
    ASSERT_EQ(cudaGraphDestroy(graph), 0) << "an exec outlives its graph";
    for (int i = 0; i < 3; ++i)
        ASSERT_EQ(cudaGraphLaunch(exec, stream), 0);
    EXPECT_EQ(data.values(), Floats{0});
    cudaStreamSynchronize(stream);
    EXPECT_EQ(data.values(), Floats{6});
    EXPECT_EQ(cudaGraphExecDestroy(exec), 0);
    EXPECT_EQ(cudaGraphLaunch(exec, stream), 1);
}

TEST(Graph, UpdateTakesTheSameShapeOnly) {
    const Device<float> data(Floats{0});
    void* stream = make_stream();
    void* exec = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&exec, captured_add(stream, data.get(), 1, 2), 0), 0);
    UpdateResult info{};
    ASSERT_EQ(cudaGraphLaunch(exec, stream), 0);
    ASSERT_EQ(cudaGraphExecUpdate(exec, captured_add(stream, data.get(), 10, 2), &info), 0);
    EXPECT_EQ(info.result, 0);
    ASSERT_EQ(cudaGraphLaunch(exec, stream), 0);
    cudaStreamSynchronize(stream);
    EXPECT_EQ(data.values(), Floats{22}) << "the launch before the update keeps what it was";
    EXPECT_EQ(cudaGraphExecUpdate(exec, captured_add(stream, data.get(), 10, 3), &info), 910);
    EXPECT_EQ(info.result, 2);
    cudaGetLastError();
}

TEST(Graph, SeveralStreamsJoinThroughEvents) {
    const Device<float> data(Floats{0});
    void* main = make_stream();
    void* side = make_stream();
    void* fork = make_event();
    void* join = make_event();
    ASSERT_EQ(cudaStreamBeginCapture(main, relaxed), 0);
    launch_add(main, data.get(), 1, 1);
    cudaEventRecord(fork, main);
    ASSERT_EQ(cudaStreamWaitEvent(side, fork, 0), 0);
    int status = 0;
    ASSERT_EQ(cudaStreamIsCapturing(side, &status), 0);
    EXPECT_EQ(status, 1);
    launch_add(side, data.get(), 2, 1);
    EXPECT_EQ(cudaEventQuery(fork), 907);
    cudaEventRecord(join, side);
    ASSERT_EQ(cudaStreamWaitEvent(main, join, 0), 0);
    void* graph = nullptr;
    ASSERT_EQ(cudaStreamEndCapture(main, &graph), 0);
    ASSERT_EQ(cudaStreamIsCapturing(side, &status), 0);
    EXPECT_EQ(status, 0);
    void* exec = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), 0);
    cudaGraphLaunch(exec, main);
    cudaStreamSynchronize(main);
    EXPECT_EQ(data.values(), Floats{3});
    ASSERT_EQ(cudaStreamBeginCapture(main, relaxed), 0);
    launch_add(main, data.get(), 1, 1);
    cudaEventRecord(fork, main);
    cudaStreamWaitEvent(side, fork, 0);
    launch_add(side, data.get(), 2, 1);
    EXPECT_EQ(cudaStreamEndCapture(main, &graph), 904) << "side never came back";
    cudaGetLastError();
}

TEST(Graph, WhatACaptureForbids) {
    const Device<float> data(Floats{0});
    void* stream = make_stream();
    void* graph = nullptr;
    void* pointer = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream, relaxed), 0);
    EXPECT_EQ(cudaMalloc(&pointer, 4), 0) << "relaxed allows it";
    EXPECT_EQ(cudaStreamSynchronize(stream), 900);
    EXPECT_EQ(launch_add(stream, data.get(), 1, 1), 901);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), 901);
    EXPECT_EQ(graph, nullptr);

    ASSERT_EQ(cudaStreamBeginCapture(stream, 0), 0);
    int mode = relaxed;
    ASSERT_EQ(cudaThreadExchangeStreamCaptureMode(&mode), 0);
    EXPECT_EQ(cudaFree(pointer), 0) << "this thread has said that it knows";
    ASSERT_EQ(cudaThreadExchangeStreamCaptureMode(&mode), 0);
    EXPECT_EQ(mode, relaxed);
    int error = 0;
    std::thread([&] { error = cudaMalloc(&pointer, 4); }).join();
    EXPECT_EQ(error, 900) << "a global capture binds other threads too";
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), 901);

    void* blocking = make_stream(0);
    ASSERT_EQ(cudaStreamBeginCapture(blocking, relaxed), 0);
    EXPECT_EQ(launch_add(nullptr, data.get(), 1, 1), 906);
    EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), 901);
    EXPECT_EQ(cudaStreamBeginCapture(nullptr, relaxed), 900);
    cudaGetLastError();
}

TEST(Graph, BuiltNodeByNode) {
    const Device<float> data(Floats{0});
    void* add = kernel("add_to");
    void* graph = nullptr;
    ASSERT_EQ(cudaGraphCreate(&graph, 0), 0);
    float* pointer = data.get();
    float by = 5;
    int count = 1;
    void* params[] = {&pointer, &by, &count};
    const RuntimeKernelNode what{add, {1, 1, 1}, {1, 1, 1}, 0, params, nullptr};
    void* first = nullptr;
    void* second = nullptr;
    ASSERT_EQ(cudaGraphAddKernelNode(&first, graph, nullptr, 0, &what), 0);
    ASSERT_EQ(cudaGraphAddKernelNode(&second, graph, &first, 1, &what), 0);
    int type = -1;
    ASSERT_EQ(cudaGraphNodeGetType(second, &type), 0);
    EXPECT_EQ(type, 0);
    RuntimeKernelNode read{};
    ASSERT_EQ(cudaGraphKernelNodeGetParams(second, &read), 0);
    EXPECT_EQ(*static_cast<float*>(read.params[1]), 5);
    void* clone = nullptr;
    ASSERT_EQ(cudaGraphClone(&clone, graph), 0);
    void* exec = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), 0);
    by = 100;
    ASSERT_EQ(cudaGraphExecKernelNodeSetParams(exec, second, &what), 0);
    cudaGraphLaunch(exec, nullptr);
    EXPECT_EQ(data.values(), Floats{105});
    ASSERT_EQ(cudaGraphInstantiate(&exec, clone, 0), 0);
    cudaGraphLaunch(exec, nullptr);
    EXPECT_EQ(data.values(), Floats{115});
}

TEST(Graph, CopiesAreNodesToo) {
    const Device<float> data(Floats{1});
    void* stream = make_stream();
    void* pinned = nullptr;
    ASSERT_EQ(cudaMallocHost(&pinned, 4), 0);
    void* graph = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream, relaxed), 0);
    launch_add(stream, data.get(), 1, 1);
    ASSERT_EQ(cudaMemcpyAsync(pinned, data.get(), 4, 2, stream), 0);
    EXPECT_EQ(cudaMemsetAsync(data.get(), 0, 4, stream), 0);
    unsigned long long id = 0;
    int status = 0;
    size_t tail = 0;
    ASSERT_EQ(cudaStreamGetCaptureInfo(stream, &status, &id, nullptr, nullptr, nullptr, &tail), 0);
    EXPECT_EQ(status, 1);
    EXPECT_EQ(tail, 1U);
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), 0);
    void* exec = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), 0);
    for (const float expected : {2.0F, 1.0F}) {
        cudaGraphLaunch(exec, stream);
        cudaStreamSynchronize(stream);
        EXPECT_EQ(*static_cast<float*>(pinned), expected);
    }
    cudaFreeHost(pinned);
}

}  // namespace
}  // namespace fake_test
