#include "analyzer/read/mapping.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <system_error>
#include <utility>

namespace orch {

/// What the signal handler may look at. Never freed, but used again: the handler takes no lock.
struct Mapping::Guarded {
    std::atomic<char*> begin{nullptr};
    std::atomic<std::size_t> size{0};
    std::atomic<bool> cut{false};
    Guarded* next = nullptr;

    static std::atomic<Guarded*> all;
    static std::mutex guard;
    static struct sigaction before;

    static void on_signal(int number, siginfo_t* info, void* context);
    static Guarded* add(char* begin, std::size_t size);
    void remove();
};

std::atomic<Mapping::Guarded*> Mapping::Guarded::all{nullptr};
std::mutex Mapping::Guarded::guard;
struct sigaction Mapping::Guarded::before = {};

namespace {

std::size_t page_size() {
    static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return size;
}

}  // namespace

void Mapping::Guarded::on_signal(int number, siginfo_t* info, void* context) {
    const int error = errno;
    auto* at = static_cast<char*>(info->si_addr);
    for (Guarded* each = all.load(); each != nullptr; each = each->next) {
        char* begin = each->begin.load();
        if (begin == nullptr || at < begin || at >= begin + each->size.load()) continue;
        const auto page = reinterpret_cast<std::uintptr_t>(at) & ~(page_size() - 1);
        void* zeros = ::mmap(reinterpret_cast<void*>(page), page_size(), PROT_READ,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (zeros == MAP_FAILED) break;
        each->cut = true;
        errno = error;
        return;
    }
    // Not ours: as if we had not been here.
    if ((before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction != nullptr) {
        before.sa_sigaction(number, info, context);
        return;
    }
    ::signal(SIGBUS, SIG_DFL);  // the instruction faults again
}

Mapping::Guarded* Mapping::Guarded::add(char* begin, std::size_t size) {
    const std::lock_guard lock{guard};
    if (all.load() == nullptr) {
        page_size();  // computed here, not in the handler
        struct sigaction action = {};
        action.sa_sigaction = on_signal;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        ::sigemptyset(&action.sa_mask);
        ::sigaction(SIGBUS, &action, &before);
    }
    Guarded* entry = all.load();
    while (entry != nullptr && entry->begin.load() != nullptr)
        entry = entry->next;
    if (entry == nullptr) {
        entry = new Guarded;
        entry->next = all.load();
        all = entry;
    }
    entry->cut = false;
    entry->size = size;
    entry->begin = begin;
    return entry;
}

void Mapping::Guarded::remove() {
    const std::lock_guard lock{guard};
    begin = nullptr;
}

Mapping::Mapping(int fd, std::size_t size) : size_(size) {
    // Anonymous zeros first, the file over them. A whole page of them: the rest of the file's last
    // page is not ours to rely on, for the file may grow.
    const std::size_t page = page_size();
    reserved_ = (size + page - 1) / page * page + page;
    void* zeros = ::mmap(nullptr, reserved_, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (zeros == MAP_FAILED) throw std::system_error(errno, std::generic_category());
    begin_ = static_cast<char*>(zeros);
    if (size == 0) return;
    if (::mmap(begin_, size, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED) {
        const int error = errno;
        ::munmap(begin_, reserved_);
        throw std::system_error(error, std::generic_category());
    }
    ::madvise(begin_, size, MADV_SEQUENTIAL);
    guarded_ = Guarded::add(begin_, size);
}

Mapping::~Mapping() {
    if (guarded_ != nullptr) guarded_->remove();
    if (begin_ != nullptr) ::munmap(begin_, reserved_);
}

Mapping::Mapping(Mapping&& other) noexcept
    : begin_(std::exchange(other.begin_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      reserved_(std::exchange(other.reserved_, 0)),
      guarded_(std::exchange(other.guarded_, nullptr)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
    std::swap(begin_, other.begin_);
    std::swap(size_, other.size_);
    std::swap(reserved_, other.reserved_);
    std::swap(guarded_, other.guarded_);
    return *this;
}

bool Mapping::is_cut() const {
    return guarded_ != nullptr && guarded_->cut.load();
}

void Mapping::forget(std::size_t begin, std::size_t end) const {
    const std::size_t page = page_size();
    begin = (begin + page - 1) / page * page;
    end = end / page * page;
    if (begin < end && end <= size_) ::madvise(begin_ + begin, end - begin, MADV_DONTNEED);
}

}  // namespace orch
