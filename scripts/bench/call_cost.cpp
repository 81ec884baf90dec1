// Calls an intercepted function N times; scripts/bench/overhead counts the instructions.
// usage: call_cost sgemm_|cblas_sgemm|ggml_mul_mat N
#include <cstdlib>
#include <cstring>

extern "C" {
void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*,
            const float*, const int*, const float*, const int*, const float*, float*, const int*);
void cblas_sgemm(int, int, int, int, int, int, float, const float*, int, const float*, int, float,
                 float*, int);
void* ggml_mul_mat(void*, void*, void*);
}

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const long calls = std::atol(argv[2]);
    const int one = 1;
    const float scale = 1;
    float c = 0;
    if (std::strcmp(argv[1], "sgemm_") == 0) {
        for (long i = 0; i < calls; ++i) {
            sgemm_("n", "n", &one, &one, &one, &scale, &scale, &one, &scale, &one, &scale, &c,
                   &one);
        }
    } else if (std::strcmp(argv[1], "cblas_sgemm") == 0) {
        for (long i = 0; i < calls; ++i) {
            cblas_sgemm(101, 111, 112, 1, 1, 1, 1, &scale, 1, &scale, 1, 0, &c, 1);
        }
    } else {
        for (long i = 0; i < calls; ++i)
            ggml_mul_mat(nullptr, nullptr, nullptr);
    }
    return 0;
}
