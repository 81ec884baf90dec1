// Our arithmetic must not show in the engine's floating-point environment.
#pragma once

namespace orch {

/// The digest computes in the default environment; the engine finds its flags, traps, rounding and
/// denormal modes as it left them: numpy asks for the flags after every product. (fesetenv is
/// libm's.)
class KeepFloatingPoint {
  public:
#if defined(__x86_64__)
    KeepFloatingPoint() noexcept : mode_(__builtin_ia32_stmxcsr()) {
        __builtin_ia32_ldmxcsr(0x1f80);
    }
    ~KeepFloatingPoint() {
        __builtin_ia32_ldmxcsr(mode_);
    }
#else
    KeepFloatingPoint() noexcept
        : mode_(__builtin_aarch64_get_fpcr()), flags_(__builtin_aarch64_get_fpsr()) {
        __builtin_aarch64_set_fpcr(0);
    }
    ~KeepFloatingPoint() {
        __builtin_aarch64_set_fpcr(mode_);
        __builtin_aarch64_set_fpsr(flags_);
    }
#endif
    KeepFloatingPoint(const KeepFloatingPoint&) = delete;
    KeepFloatingPoint& operator=(const KeepFloatingPoint&) = delete;

  private:
    unsigned mode_;
#if !defined(__x86_64__)
    unsigned flags_;
#endif
};

}  // namespace orch
