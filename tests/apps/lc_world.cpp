// An engine that changes the world around it between two rounds of products.
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <fenv.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "tests/apps/lc_product.hpp"

namespace {

void close_all_by_loop() {
    std::vector<int> open;
    DIR* directory = ::opendir("/proc/self/fd");
    while (const dirent* entry = ::readdir(directory)) {
        if (const int fd = std::atoi(entry->d_name); fd > 2) open.push_back(fd);
    }
    ::closedir(directory);
    for (const int fd : open)
        ::close(fd);
}

/// As many files as there may be, so that each number that was ours is now one of these.
std::vector<int> write_own_files(const char* directory) {
    std::vector<int> own;
    for (int i = 0; i < 8; ++i) {
        const std::string path = std::string{directory} + "/own" + std::to_string(i);
        const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0644);
        if (fd < 0) break;
        (void)!::write(fd, "mine\n", 5);
        own.push_back(fd);
    }
    return own;
}

/// 40,000 values: more than a line takes, so they go to the sidecar.
void wide_product() {
    static std::vector<float> weight(40000, 2);
    static std::vector<float> y(40000);
    const float x = 3;
    cblas_sgemm(101, 111, 111, 1, 40000, 1, 1, &x, 1, weight.data(), 40000, 0, y.data(), 40000);
    std::printf("%g\n", static_cast<double>(y[39999]));
}

std::atomic<long> foreign_threads{0};
std::atomic<long> handled{0};
pid_t only_thread = 0;

void count_signal(int) {
    handled.fetch_add(1);
    if (::syscall(SYS_gettid) != only_thread) foreign_threads.fetch_add(1);
}

void own_signals() {
    only_thread = ::getpid();
    static char stack[65536];
    stack_t alternative = {};
    alternative.ss_sp = stack;
    alternative.ss_size = sizeof stack;
    ::sigaltstack(&alternative, nullptr);
    struct sigaction action = {};
    action.sa_handler = count_signal;
    action.sa_flags = SA_ONSTACK | SA_RESTART;
    for (const int s : {SIGALRM, SIGUSR1, SIGPIPE, SIGXFSZ})
        ::sigaction(s, &action, nullptr);
    const itimerval often = {{0, 200}, {0, 200}};
    ::setitimer(ITIMER_REAL, &often, nullptr);
    long made = 0;
    for (; made < 400 || handled.load() < 5; ++made)
        lc::product(1);
    const itimerval never = {};
    ::setitimer(ITIMER_REAL, &never, nullptr);
    // With the only thread of the engine blocking it, a signal to the process must stay pending.
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGUSR1);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    ::kill(::getpid(), SIGUSR1);
    sigset_t pending;
    ::sigpending(&pending);
    const timespec none = {};
    std::printf("pending %d, taken %d, on threads of others %ld\n", sigismember(&pending, SIGUSR1),
                ::sigtimedwait(&set, nullptr, &none) == SIGUSR1, foreign_threads.load());
    if (const char* path = std::getenv("LC_COUNT")) {
        std::FILE* file = std::fopen(path, "w");
        std::fprintf(file, "%ld\n", made);
        std::fclose(file);
    }
}

void keeps_errno() {
    for (int i = 0; i < 3; ++i) {
        errno = 77;
        lc::product(i);
        std::printf("errno %d\n", errno);
    }
}

/// The least stack a thread of an engine may be expected to have left.
void small_stack(std::size_t size) {
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, size);
    pthread_t thread;
    ::pthread_create(
        &thread, &attributes,
        [](void*) -> void* {
            lc::product(1);
            lc::product(2);
            return nullptr;
        },
        nullptr);
    ::pthread_join(thread, nullptr);
    std::printf("a small stack was enough\n");
}

void floating_point() {
    ::fesetround(FE_UPWARD);
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040);  // flush to zero, denormals are zero
#endif
    const float x[8] = {0.1F, 0.2F, 1e-39F, 0.4F, 0.5F, 1e-30F, 0.7F, 0.3F};
    float y[6] = {};
    cblas_sgemm(101, 111, 111, 2, 3, 4, 1e-9F, x, 4, lc::weight, 3, 0, y, 3);
    for (const float v : y) {
        std::uint32_t bits;
        std::memcpy(&bits, &v, sizeof bits);
        std::printf("%08x ", bits);
    }
#if defined(__x86_64__)
    std::printf("mode %x\n", _mm_getcsr() & 0xffc0U);
#else
    std::printf("mode %d\n", ::fegetround());
#endif
}

/// What numpy does around each product: were there exceptions?
void floating_point_flags() {
    ::feclearexcept(FE_ALL_EXCEPT);
    lc::product(1);  // of small integers, so exact
    std::printf("flags %x\n", static_cast<unsigned>(::fetestexcept(FE_ALL_EXCEPT)));
    const float huge[8] = {3e38F, 1e30F, 1, 1, 1, 1, 1, 1};
    const float zeros[12] = {};
    float y[6];
    cblas_sgemm(101, 111, 111, 2, 3, 4, 1, huge, 4, zeros, 3, 0, y, 3);
    std::printf("flags %x\n", static_cast<unsigned>(::fetestexcept(FE_ALL_EXCEPT)));
    ::feenableexcept(FE_OVERFLOW | FE_INVALID | FE_DIVBYZERO);
    cblas_sgemm(101, 111, 111, 2, 3, 4, 1, huge, 4, zeros, 3, 0, y, 3);
    std::printf("no trap\n");
}

void without_threads() {
    rlimit limit = {1, 1};
    if (::getuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) std::printf("still root\n");
    ::setrlimit(RLIMIT_NPROC, &limit);
    pthread_t thread;
    const int failed = ::pthread_create(
        &thread, nullptr, [](void*) -> void* { return nullptr; }, nullptr);
    std::printf("another thread: %s\n", failed == 0 ? "yes" : "no");
}

}  // namespace

int main(int count, char** arguments) {
    const char* how = arguments[1];
    const char* directory = count > 2 ? arguments[2] : ".";
    const auto is = [how](const char* name) { return std::strcmp(how, name) == 0; };
    if (is("closefrom") || is("close_loop")) {
        lc::products(3);
        is("closefrom") ? ::closefrom(3) : close_all_by_loop();
        write_own_files(directory);
        lc::products(4);
    }
    if (is("close_wide")) {
        wide_product();
        ::closefrom(3);
        write_own_files(directory);
        wide_product();
        ::closefrom(3);
    }
    if (is("close_fork")) {
        lc::products(2);
        const pid_t pid = ::fork();
        if (pid == 0) {
            ::closefrom(3);
            const std::vector<int> own = write_own_files(directory);
            lc::products(2);
            for (const int fd : own)
                (void)!::write(fd, "mine\n", 5);
            ::_exit(0);
        }
        int status = 0;
        while (::wait(&status) > 0) {
        }
        std::printf("status %d\n", status);
    }
    if (is("wide")) {
        for (int i = 0; i < 40; ++i)
            wide_product();
    }
    if (is("elsewhere")) {
        lc::products(3);
        (void)!::chdir("/");
        ::umask(0777);
        ::closefrom(3);
        lc::products(4);
    }
    if (is("signals")) own_signals();
    if (is("errno")) keeps_errno();
    if (is("small_stack")) small_stack(static_cast<std::size_t>(std::atoi(arguments[2])));
    if (is("floating_point")) floating_point();
    if (is("flags")) floating_point_flags();
    if (is("no_threads")) {
        without_threads();
        lc::products(3);
    }
    return 0;
}
