// What the exit code of `orchtrace` says, as diff has it. `orchtrace run` ends with the code of the
// command that it ran instead.
#pragma once

namespace orch {

/// The command did what it was asked; for comparisons: parity.
inline constexpr int exit_ok = 0;
/// A comparison found a divergence.
inline constexpr int exit_divergence = 1;
/// Bad usage, an unreadable file, or traces that cannot be compared.
inline constexpr int exit_unusable = 2;

/// `run` only, as shells have them: the command was found but could not be executed.
inline constexpr int exit_not_executable = 126;
/// `run` only: the command was not found.
inline constexpr int exit_not_found = 127;
/// `run` only: added to the number of the signal that ended the command.
inline constexpr int exit_signal_base = 128;

}  // namespace orch
