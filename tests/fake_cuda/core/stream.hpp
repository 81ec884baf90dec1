// Streams are queues of closures. Nothing runs when it is submitted, only when somebody waits for
// it or pumps (FAKE_CUDA_EAGER=1: at once), and a stream runs alone but for what it was told to
// wait for: a missing dependency therefore shows as a wrong value, every time.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/call.hpp"
#include "core/memory.hpp"

namespace fake {

struct Launch;
struct Graph;
struct Node;
struct Stream;
struct Capture;

/// One thing that a device does; graphs run it again and again.
struct Op {
    NodeKind kind = NodeKind::empty;
    std::string label;
    std::function<void()> run;
    std::shared_ptr<Launch> launch;
    std::uint64_t call = 0;  ///< number of the call that submitted it
};

struct Context {
    std::uint64_t id = 0;
    int device = 0;
    bool primary = false;
    unsigned flags = 0;
    int retained = 0;
    std::shared_ptr<Stream> legacy;
};

struct Mark {
    std::shared_ptr<Stream> stream;
    std::uint64_t position = 0;
};

struct Work {
    Op op;
    std::vector<Mark> after;
};

struct Stream {
    std::uint64_t id = 0;
    Context* context = nullptr;
    unsigned flags = 0;
    int priority = 0;
    std::uint64_t submitted = 0;
    std::uint64_t done = 0;
    std::deque<Work> queue;
    std::shared_ptr<Capture> capture;
    std::vector<Node*> tail;  ///< in a capture: what the next node comes after

    bool blocking() const { return (flags & 1U) == 0; }
};

struct Event {
    std::uint64_t id = 0;
    unsigned flags = 0;
    Mark mark;
    std::weak_ptr<Capture> capture;
    bool captured = false;
    std::vector<Node*> nodes;
    double seconds = 0;
};

struct Capture {
    std::uint64_t id = 0;
    int mode = 0;
    std::thread::id owner;
    std::unique_ptr<Graph> graph;
    Stream* origin = nullptr;
    bool invalidated = false;
    std::vector<std::shared_ptr<Stream>> members;
};

/// Counts everything that gets a number in the journal: streams, events, contexts, graphs.
std::uint64_t next_id();

// With the lock held.
std::shared_ptr<Stream> make_stream(Context& context, unsigned flags, int priority);
/// Null for a handle that is none.
std::shared_ptr<Stream> find_stream(const Call& call, void* handle);
int destroy_stream(const Call& call, void* handle);
void drop_streams(const Context& context);
int append(Lock& lock, const std::shared_ptr<Stream>& stream, Op op);
void run_until(Lock& lock, const std::shared_ptr<Stream>& stream, std::uint64_t position);
void run_all(Lock& lock);
std::size_t pending();

/// The error of a call that a capture, of this thread or another, does not allow; it breaks the
/// capture.
int refuse_in_capture(Lock& lock);
int& capture_mode_of_thread();
int begin_capture(const std::shared_ptr<Stream>& stream, int mode);
int end_capture(const std::shared_ptr<Stream>& stream, std::unique_ptr<Graph>& graph);

/// Takes the lock: puts the operation on the stream, or into the graph that the stream captures.
int submit(Call& call, void* stream, Op op);
int synchronize(Call& call, void* stream);
int synchronize_device(Call& call);
int query(Call& call, void* stream);

int record(Call& call, void* event, void* stream);
int wait(Call& call, void* stream, void* event);
int create_event(unsigned flags, void** event);
int destroy_event(void* event);
int synchronize_event(Call& call, void* event);
int query_event(Call& call, void* event);
int elapsed(void* start, void* end, float* milliseconds);

/// The context of this thread; null if it has none. The runtime makes the device's primary one.
Context* current_context(bool make);
Context& primary_context(int device);

}  // namespace fake
