// A call into a stand-in: its number, its line in the journal, and the faults that are planted in
// it.
//
//   FAKE_CUDA_JOURNAL=PATH           one JSON line per call, written when the call returns
//   FAKE_CUDA_JOURNAL_EXEC=1         and one per operation that ran on a stream
//   FAKE_CUDA_FAIL=NAME:N[=CODE],…   the Nth call of NAME fails (N+: and all after it)
//   FAKE_CUDA_LOSE_CONTEXT_AT=N      from call N on everything fails with 700, for good
#pragma once
#include <initializer_list>
#include <string>
#include <string_view>

#include "core/types.hpp"

namespace fake {

/// Text of one JSON object's members.
class Fields {
  public:
    void add(std::string_view key, std::int64_t value) { raw(key, std::to_string(value)); }
    void add(std::string_view key, std::uint64_t value) { raw(key, std::to_string(value)); }
    void add(std::string_view key, unsigned long long value) { raw(key, std::to_string(value)); }
    void add(std::string_view key, long long value) { raw(key, std::to_string(value)); }
    void add(std::string_view key, int value) { raw(key, std::to_string(value)); }
    void add(std::string_view key, unsigned value) { raw(key, std::to_string(value)); }
    void add(std::string_view key, unsigned char value) { raw(key, std::to_string(value)); }
    void add(std::string_view key, unsigned short value) { raw(key, std::to_string(value)); }
    void add(std::string_view key, bool value) { raw(key, value ? "true" : "false"); }
    void add(std::string_view key, double value);
    void add(std::string_view key, const char* text);
    void add(std::string_view key, const std::string& text) { add(key, text.c_str()); }
    void add(std::string_view key, Dim3 value);
    void add(std::string_view key, const RuntimePitched& value);
    void add(std::string_view key, const RuntimeExtent& value);
    void add(std::string_view key, Ints value) { pointer(key, value.data); }
    template <class T>
    void add(std::string_view key, T* value) {
        pointer(key, reinterpret_cast<const void*>(value));
    }
    void raw(std::string_view key, std::string_view json);
    const std::string& text() const { return text_; }

  private:
    void pointer(std::string_view key, const void* value) {
        add(key, static_cast<std::uint64_t>(reinterpret_cast<Address>(value)));
    }
    std::string text_;
};

struct CallFlags {
    bool per_thread;  ///< its null stream is the thread's own
    bool quiet;       ///< neither numbered nor journalled
};

class Call {
  public:
    Call(const char* name, const char* library, CallFlags flags);
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    /// The innermost call of this thread; null outside of any.
    static Call* current();

    bool journalled() const { return journalled_; }
    bool per_thread() const { return flags_.per_thread; }
    std::uint64_t number() const { return number_; }
    int major() const { return major_; }
    const char* name() const { return name_; }

    template <class... Values>
    void arguments(std::initializer_list<std::string_view> names, const Values&... values) {
        const auto* name = names.begin();
        (arguments_.add(*name++, values), ...);
    }
    template <class Value>
    void note(std::string_view key, const Value& value) {
        if (journalled_) notes_.add(key, value);
    }

    /// The error that a planted fault makes of this call; 0: none.
    int refuse();
    /// Ends the call with this result, which it returns.
    int end(int result);

  private:
    bool blas() const { return library_.starts_with("cublas"); }

    const char* name_;
    std::string_view library_;
    CallFlags flags_;
    bool journalled_ = false;
    bool ended_ = false;
    int result_ = 0;
    int major_ = 0;
    std::uint64_t number_ = 0;
    std::uint64_t nth_ = 0;
    Call* parent_ = nullptr;
    Fields arguments_;
    Fields notes_;
};

/// A line of an operation that a stream ran.
void journal_execution(NodeKind kind, const std::string& label, std::uint64_t stream,
                       std::uint64_t call, std::uint64_t graph_exec, std::uint64_t replay);

/// A fault on the device: from now on every call fails with 700.
void lose_context();
bool context_is_lost();

/// Threads by number, from 1 on. What a thread keeps is kept by its number, in state that is never
/// destroyed: destructors at the end of the process may still call.
std::uint64_t this_thread();

/// The runtime's error of this thread.
int& last_error();

}  // namespace fake
