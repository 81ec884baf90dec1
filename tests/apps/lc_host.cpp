// Loads plugins in all the ways there are; which copy computed shows in the printed results.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

std::string here;

void* open_module(const std::string& name, int flags) {
    void* handle =
        dlopen(name.find('/') == std::string::npos ? (here + name).c_str() : name.c_str(),
               RTLD_LAZY | flags);
    if (handle == nullptr) std::printf("%s\n", dlerror());
    return handle;
}

template <class Function>
Function function(void* handle, const char* name) {
    return reinterpret_cast<Function>(dlsym(handle, name));
}

void linked(void* plugin) {
    std::printf("linked %g\n",
                static_cast<double>(function<float (*)()>(plugin, "plugin_linked")()));
}

void by_default(void* plugin) {
    std::printf("default in plugin %g\n",
                static_cast<double>(function<float (*)()>(plugin, "plugin_default")()));
}

void by_handle(void* plugin, void* from) {
    void* gemm = dlsym(from, "sgemm_");
    if (gemm == nullptr) {
        std::printf("handle: none\n");
        return;
    }
    std::printf("handle %g\n",
                static_cast<double>(function<float (*)(void*)>(plugin, "plugin_given")(gemm)));
}

void default_in_main() {
    std::printf("default in main: %s\n",
                dlsym(RTLD_DEFAULT, "sgemm_") != nullptr ? "found" : "none");
}

void two_copies() {
    void* one = open_module("liblc_plugin_one.so", RTLD_LOCAL);
    void* two = open_module("liblc_plugin_two.so", RTLD_LOCAL);
    for (int i = 0; i < 3; ++i) {
        linked(one);
        linked(two);
        by_handle(one, one);
        by_handle(two, two);
    }
    by_default(one);
    by_default(two);
}

void reopened(const char* link) {
    for (int round = 0; round < 3; ++round) {
        for (const char* target : {"liblc_plugin_one.so", "liblc_plugin_two.so"}) {
            std::remove(link);
            if (::system(("cp " + here + target + " " + link).c_str()) != 0) return;
            void* plugin = open_module(link, RTLD_LOCAL);
            linked(plugin);
            by_handle(plugin, plugin);
            std::printf("dlclose %d\n", dlclose(plugin));
        }
    }
}

/// More calling modules than the resolver has room for.
void many_times() {
    double sum = 0;
    for (int i = 0; i < 2500; ++i) {
        for (const char* target : {"libfake_blas_one.so", "libfake_blas_two.so"}) {
            void* blas = open_module(target, RTLD_LOCAL);
            void* gemm = dlsym(blas, "sgemm_");
            using Gemm = void (*)(const char*, const char*, const int*, const int*, const int*,
                                  const float*, const float*, const int*, const float*, const int*,
                                  const float*, float*, const int*);
            const int n = 1;
            const float v = 2;
            float y = 1;
            reinterpret_cast<Gemm>(gemm)("N", "N", &n, &n, &n, &v, &v, &n, &v, &n, &v, &y, &n);
            sum += static_cast<double>(y);
            dlclose(blas);
        }
    }
    std::printf("%.9g\n", sum);
}

}  // namespace

int main(int, char** arguments) {
    here = arguments[0];
    here.resize(here.rfind('/') + 1);
    const char* how = arguments[1];
    const auto is = [how](const char* name) { return std::strcmp(how, name) == 0; };
    if (is("two")) two_copies();
    if (is("two_and_global")) {
        open_module("libfake_blas_three.so", RTLD_GLOBAL);
        two_copies();
        default_in_main();
    }
    if (is("local")) {
        default_in_main();
        void* plugin = open_module("liblc_plugin_one.so", RTLD_LOCAL);
        linked(plugin);
        by_default(plugin);
        by_handle(plugin, plugin);
        default_in_main();
        by_handle(plugin, RTLD_DEFAULT);
    }
    if (is("global")) {
        void* plugin = open_module("liblc_plugin_two.so", RTLD_GLOBAL);
        linked(plugin);
        by_default(plugin);
        by_handle(plugin, plugin);
        default_in_main();
        by_handle(plugin, RTLD_DEFAULT);
    }
    if (is("reopen")) reopened(arguments[2]);
    if (is("many")) many_times();
    return 0;
}
