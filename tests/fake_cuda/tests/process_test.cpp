// What is set by the environment, so that each case is a process of its own (CMakeLists.txt):
// run with the name of the case; the journal is where FAKE_CUDA_JOURNAL says.
#include <dlfcn.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <map>
#include <string>

#include "support.hpp"

namespace {

int failures = 0;

void expect(bool holds, const std::string& what) {
    if (holds) return;
    ++failures;
    std::cerr << "FAILED: " << what << '\n';
}

std::vector<std::string> journal() {
    std::ifstream file(std::getenv("FAKE_CUDA_JOURNAL"));
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);)
        lines.push_back(line);
    return lines;
}

bool has(const std::string& line, const std::string& text) {
    return line.find(text) != line.npos;
}

int multiply(void* handle, float* data) {
    const float one = 1;
    const float zero = 0;
    return cublasSgemm_v2(handle, 0, 0, 1, 1, 1, &one, data, 1, data, 1, &zero, data, 1);
}

/// As text; empty if there is none.
std::string number_in(const std::string& line, const std::string& key) {
    const auto at = line.find('"' + key + "\":");
    if (at == line.npos) return {};
    const auto start = at + key.size() + 3;
    return line.substr(start, line.find_first_of(",}", start) - start);
}

/// Copy, product, copy; returns where the product lies.
const float* square_of_three() {
    float* data = nullptr;
    void* handle = nullptr;
    cudaMalloc(reinterpret_cast<void**>(&data), 4);
    cublasCreate_v2(&handle);
    const float three = 3;
    cudaMemcpy(data, &three, 4, 1);
    expect(multiply(handle, data) == 0, "the product is accepted");
    float result = 0;
    cudaMemcpy(&result, data, 4, 2);
    expect(result == 9, "the product is right");
    return data;
}

void journal_case() {
    const float* data = square_of_three();
    const auto lines = journal();
    std::size_t products = 0;
    std::size_t executions = 0;
    for (const std::string& line : lines) {
        if (has(line, R"("call":"cublasSgemm_v2")")) {
            ++products;
            expect(has(line, R"("nth":1)") && has(line, R"("m":1)") &&
                       has(line, R"("lib":"cublas13")"),
                   line);
            expect(has(line, "\"c\":" + std::to_string(reinterpret_cast<std::uintptr_t>(data))),
                   line);
            expect(has(line, R"("captured":false)") && has(line, R"("result":0)"), line);
        }
        executions += has(line, R"({"exec":)");
        if (has(line, R"("call":"cudaMemcpy")"))
            expect(has(line, R"("direction":")") && has(line, R"("bytes":4)"), line);
    }
    expect(products == 1, "one line per call");
    expect(executions == 3, "one line per operation that ran: copy, product, copy");
}

void nested_case() {
    square_of_three();
    std::string inner;
    std::string outer;
    for (const std::string& line : journal()) {
        if (has(line, R"("call":"cublasLtMatmul")")) inner = line;
        if (has(line, R"("call":"cublasSgemm_v2")")) outer = line;
    }
    expect(has(inner, R"("lib":"cublasLt13")"), "cublasLtMatmul is called");
    const std::string number = number_in(outer, "number");
    expect(!number.empty() && number_in(inner, "parent") == number, "inside of cublasSgemm_v2");
}

// FAKE_CUDA_FAIL=cuMemHostAlloc:1,cudaMemcpyAsync:2=999,cudaMalloc:2+=999,cublasSgemm_v2:1
void faults_case() {
    void* pointer = nullptr;
    expect(cuMemHostAlloc(&pointer, 64, 0) == 2, "the first fails");
    expect(cuMemHostAlloc(&pointer, 64, 0) == 0, "the second does not");
    float* data = nullptr;
    expect(cudaMalloc(reinterpret_cast<void**>(&data), 4) == 0, "the first does not");
    expect(cudaMemcpyAsync(data, pointer, 4, 1, nullptr) == 0, "the first copy works");
    expect(cudaMemcpyAsync(data, pointer, 4, 1, nullptr) == 999, "the second copy fails");
    expect(cudaGetLastError() == 999, "the runtime remembers");
    for (int i = 0; i < 2; ++i)
        expect(cudaMalloc(&pointer, 4) == 999, "the second and all after it");
    void* handle = nullptr;
    cublasCreate_v2(&handle);
    expect(multiply(handle, data) == 13, "cuBLAS has its own errors");
}

void lost_case() {  // FAKE_CUDA_LOSE_CONTEXT_AT=3
    void* pointer = nullptr;
    expect(cudaMalloc(&pointer, 4) == 0, "1 works");
    expect(cudaFree(pointer) == 0, "2 works");
    expect(cudaMalloc(&pointer, 4) == 700, "3 does not");
    expect(cudaStreamSynchronize(nullptr) == 700, "nor anything else");
    expect(cuCtxSynchronize() == 700, "in any library");
    void* handle = nullptr;
    expect(cublasCreate_v2(&handle) == 13, "cuBLAS neither");
    expect(cudaGetLastError() == 700, "what it was can be asked");
}

void wild_case() {
    void* handle = nullptr;
    cublasCreate_v2(&handle);
    float own = 1;
    expect(multiply(handle, &own) == 0, "a launch does not know");
    cudaDeviceSynchronize();
    expect(cudaDeviceSynchronize() == 700, "memory that is no device's is a fault");
}

void eager_case() {  // FAKE_CUDA_EAGER=1
    void* data = nullptr;
    cudaMalloc(&data, 4);
    cudaMemsetAsync(data, 1, 4, nullptr);
    expect(fake_cuda_pending() == 0, "everything has run");
}

void versions_case() {
    void* old = dlopen("libcudart.so.12", RTLD_NOW | RTLD_LOCAL);
    expect(old != nullptr, "CUDA 12 beside 13");
    if (old == nullptr) return;
    const auto version = reinterpret_cast<int (*)(int*)>(dlsym(old, "cudaRuntimeGetVersion"));
    const auto allocate = reinterpret_cast<int (*)(void**, size_t)>(dlsym(old, "cudaMalloc"));
    int number = 0;
    version(&number);
    expect(number == 12000, "it is 12");
    cudaRuntimeGetVersion(&number);
    expect(number == 13000, "and this is 13");
    void* data = nullptr;
    allocate(&data, 4);
    expect(cudaFree(data) == 0, "they drive one device");
    expect(dlvsym(old, "cudaMalloc", "libcudart.so.12") != nullptr, "under the version node");
    expect(dlvsym(old, "cudaMalloc", "libcudart.so.13") == nullptr, "and no other");
    expect(dlsym(old, "cudaGetDeviceProperties_v2") != nullptr, "what 13 has no more");
}

void proc_case() {
    void* function = nullptr;
    int status = -1;
    const auto find = [&](const char* name, int version, std::uint64_t flags) {
        expect(cuGetProcAddress_v2(name, &function, version, flags, &status) == 0, name);
        return function;
    };
    expect(find("cuMemAlloc", 12000, 0) == reinterpret_cast<void*>(&cuMemAlloc_v2),
           "the newest of a name");
    expect(find("cuLaunchKernel", 12000, 0) == reinterpret_cast<void*>(&cuLaunchKernel),
           "legacy streams");
    expect(find("cuLaunchKernel", 12000, 2) == reinterpret_cast<void*>(&cuLaunchKernel_ptsz),
           "the thread's streams");
    expect(find("cuMemAlloc", 12000, 2) == reinterpret_cast<void*>(&cuMemAlloc_v2),
           "which not all have");
    expect(find("cuGraphInstantiate", 12000, 0) ==
               reinterpret_cast<void*>(&cuGraphInstantiateWithFlags),
           "renamed");
    expect(find("cuGraphInstantiate", 11000, 0) == reinterpret_cast<void*>(&cuGraphInstantiate_v2),
           "an older one");
    expect(find("cuStreamGetCaptureInfo", 11030, 0) ==
               reinterpret_cast<void*>(&cuStreamGetCaptureInfo_v2),
           "by version");
    expect(find("cuGetProcAddress", 12000, 0) == reinterpret_cast<void*>(&cuGetProcAddress_v2),
           "itself");
    expect(find("cuGraphInstantiate", 9000, 0) == nullptr && status == 2, "too old a version");
    expect(find("cuNothing", 12000, 0) == nullptr && status == 1, "no such function");
    expect(cuGetProcAddress("cuNothing", &function, 12000, 0) == 500,
           "the first version says so by its result");
    expect(cudaGetDriverEntryPointByVersion("cuInit", &function, 12000, 0, &status) == 0 &&
               function == reinterpret_cast<void*>(&cuInit),
           "the runtime gives them out");
}

void protect_case() {  // FAKE_CUDA_PROTECT=1: dies of reading device memory, which is what is
                       // expected
    int* data = nullptr;
    cudaMalloc(reinterpret_cast<void**>(&data), sizeof(int));
    cudaMemset(data, 0, sizeof(int));
    int value = 1;
    cudaMemcpy(&value, data, sizeof(int), 2);
    std::cerr << (value == 0 ? "copied\n" : "not copied\n");
    const volatile int* touched = data;
    value = *touched;
    std::cerr << "survived\n";
}

}  // namespace

int main(int, char** argv) {
    const std::string name = argv[1];
    const std::map<std::string, void (*)()> cases = {
        {"journal", journal_case},   {"nested", nested_case}, {"faults", faults_case},
        {"lost", lost_case},         {"wild", wild_case},     {"eager", eager_case},
        {"versions", versions_case}, {"proc", proc_case},     {"protect", protect_case}};
    cases.at(name)();
    if (name != "protect") std::cout << (failures == 0 ? "all held\n" : "") << std::flush;
    return failures == 0 ? 0 : 1;
}
