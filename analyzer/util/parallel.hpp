// Work over a range, cut into chunks of a fixed size, so that what is computed per chunk does not
// depend on the number of threads.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace orch {

inline unsigned thread_count(unsigned wanted) {
    return wanted != 0 ? wanted : std::max(1U, std::thread::hardware_concurrency());
}

/// Calls work(chunk, begin, end) for each chunk; the first exception is thrown again here.
template <class Work>
void for_each_chunk(std::size_t count, std::size_t chunk_size, unsigned threads, const Work& work) {
    const std::size_t chunks = (count + chunk_size - 1) / chunk_size;
    std::atomic<std::size_t> next{0};
    std::exception_ptr failure;
    std::mutex guard;
    const auto run = [&] {
        for (std::size_t chunk = next++; chunk < chunks; chunk = next++) {
            try {
                work(chunk, chunk * chunk_size, std::min(count, (chunk + 1) * chunk_size));
            } catch (...) {
                const std::lock_guard lock{guard};
                if (!failure) failure = std::current_exception();
                next = chunks;
            }
        }
    };
    std::vector<std::jthread> others;
    for (unsigned i = 1; i < std::min<std::size_t>(thread_count(threads), chunks); ++i)
        others.emplace_back(run);
    run();
    others.clear();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace orch
