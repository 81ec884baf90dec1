// Small things that the tests of the stand-ins share.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "core/gemm.hpp"
#include "exports.hpp"
#include "fake_cuda.h"

namespace fake_test {

/// Device memory with values in it, freed at the end.
template <class T>
class Device {
  public:
    explicit Device(std::size_t count) : count_(count) {
        EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&data_), count * sizeof(T)), 0);
    }
    explicit Device(const std::vector<T>& values) : Device(values.size()) {
        EXPECT_EQ(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), 1), 0);
    }
    ~Device() { cudaFree(data_); }
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    T* get() const { return data_; }
    std::vector<T> values() const {
        std::vector<T> copy(count_);
        EXPECT_EQ(cudaMemcpy(copy.data(), data_, count_ * sizeof(T), 2), 0);
        return copy;
    }

  private:
    std::size_t count_;
    T* data_ = nullptr;
};

inline constexpr unsigned non_blocking = 1;

inline void* make_stream(unsigned flags = non_blocking) {
    void* stream = nullptr;
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream, flags), 0);
    return stream;
}

inline void* make_event() {
    void* event = nullptr;
    EXPECT_EQ(cudaEventCreate(&event), 0);
    return event;
}

/// A kernel of this program, registered as nvcc's code does it.
void* kernel(const char* name);
/// Adds `by` to `count` floats: extern "C" __global__ add_to(float*, float, int).
int launch_add(void* stream, float* data, float by, int count);

inline std::vector<double> random_values(std::size_t count, unsigned seed) {
    std::mt19937 generator(seed);
    std::uniform_real_distribution<double> distribution(-1, 1);
    std::vector<double> values(count);
    for (double& value : values)
        value = distribution(generator);
    return values;
}

}  // namespace fake_test
