// Asks for a function that no library here has; with an argument, calls it all the same.
#include <dlfcn.h>

#include "tests/apps/lc_product.hpp"

extern "C" void cblas_sbgemm();

int main(int count, char** arguments) {
    lc::products(2);
    std::printf("default: %s\n", dlsym(RTLD_DEFAULT, "cblas_sbgemm") != nullptr ? "found" : "none");
    void* self = dlopen(nullptr, RTLD_LAZY);
    std::printf("BLAS: %s\n", dlsym(self, "cblas_dgemm") != nullptr ? "found" : "none");
    std::fflush(stdout);
    if (count > 1 && *arguments[1] == 'c') cblas_sbgemm();
    return 0;
}
