#include "core/stream.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <map>

#include "core/graph.hpp"
#include "fake_cuda.h"

namespace fake {
namespace {

struct State {
    std::map<void*, std::shared_ptr<Stream>> streams;  ///< those that the program made
    std::vector<std::shared_ptr<Stream>> built_in;     ///< legacy ones, and those of threads
    std::map<void*, std::shared_ptr<Event>> events;
    /// By thread and context.
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::shared_ptr<Stream>> of_threads;
    std::uint64_t ids = 0;
    std::condition_variable idle;
    std::thread::id running;  ///< the thread that runs an operation
    const bool eager = std::getenv("FAKE_CUDA_EAGER") != nullptr;
};

State& state() {
    static State* const one = new State;
    return *one;
}

std::vector<std::shared_ptr<Stream>> all_streams() {
    std::vector<std::shared_ptr<Stream>> all = state().built_in;
    for (const auto& [handle, stream] : state().streams)
        all.push_back(stream);
    return all;
}

std::shared_ptr<Stream> stream_of_thread(Context& context) {
    auto& stream = state().of_threads[{this_thread(), context.id}];
    if (!stream) {
        stream = std::make_shared<Stream>();
        stream->id = next_id();
        stream->context = &context;
        state().built_in.push_back(stream);
    }
    return stream;
}

bool is_legacy(const Stream& stream) {
    return stream.context->legacy.get() == &stream;
}

/// The legacy stream waits for all blocking ones, and they for it.
std::vector<Mark> implied(const std::shared_ptr<Stream>& stream) {
    std::vector<Mark> marks;
    const auto add = [&](const std::shared_ptr<Stream>& other) {
        if (other->done < other->submitted) marks.push_back({other, other->submitted});
    };
    if (is_legacy(*stream)) {
        for (const auto& other : all_streams()) {
            if (other != stream && other->blocking() && other->context == stream->context)
                add(other);
        }
    } else if (stream->blocking() && stream->context->legacy) {
        add(stream->context->legacy);
    }
    return marks;
}

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

std::shared_ptr<Event> find_event(void* handle) {
    const auto it = state().events.find(handle);
    return it == state().events.end() ? nullptr : it->second;
}

/// A use of the legacy stream would wait for streams that are being captured.
int refuse_implicit(const Stream& stream) {
    if (!is_legacy(stream)) return ok;
    int error = ok;
    for (const auto& other : all_streams()) {
        if (!other->capture || !other->blocking() || other->context != stream.context) continue;
        other->capture->invalidated = true;
        error = capture_implicit;
    }
    return error;
}

}  // namespace

std::uint64_t next_id() {
    return ++state().ids;
}

std::shared_ptr<Stream> make_stream(Context& context, unsigned flags, int priority) {
    auto stream = std::make_shared<Stream>();
    stream->id = next_id();
    stream->context = &context;
    stream->flags = flags;
    stream->priority = priority;
    state().streams[stream.get()] = stream;
    return stream;
}

std::shared_ptr<Stream> find_stream(const Call& call, void* handle) {
    const auto number = reinterpret_cast<Address>(handle);
    if (number > 2) {
        const auto it = state().streams.find(handle);
        return it == state().streams.end() ? nullptr : it->second;
    }
    Context* context = current_context(true);
    if (number == 2 || (number == 0 && call.per_thread())) return stream_of_thread(*context);
    if (!context->legacy) {
        context->legacy = std::make_shared<Stream>();
        context->legacy->id = next_id();
        context->legacy->context = context;
        state().built_in.push_back(context->legacy);
    }
    return context->legacy;
}

int destroy_stream(const Call& call, void* handle) {
    if (reinterpret_cast<Address>(handle) <= 2) return invalid_handle;
    const auto stream = find_stream(call, handle);
    if (!stream) return invalid_handle;
    if (stream->capture) return capture_unsupported;
    state().built_in.push_back(stream);  // what it has yet to do is still done
    state().streams.erase(handle);
    return ok;
}

void drop_streams(const Context& context) {
    std::erase_if(state().streams,
                  [&](const auto& entry) { return entry.second->context == &context; });
    std::erase_if(state().built_in,
                  [&](const auto& stream) { return stream->context == &context; });
}

void run_until(Lock& lock, const std::shared_ptr<Stream>& stream, std::uint64_t position) {
    const auto self = std::this_thread::get_id();
    while (stream->done < position) {
        if (state().running != std::thread::id{} && state().running != self) {
            state().idle.wait(lock);
            continue;
        }
        if (stream->queue.empty()) return;  // a host function that waits for its own stream
        bool ready = true;
        const std::vector<Mark> after = stream->queue.front().after;
        for (const Mark& mark : after) {
            if (mark.stream->done >= mark.position) continue;
            run_until(lock, mark.stream, mark.position);
            ready = false;
        }
        if (!ready) continue;
        const Work work = std::move(stream->queue.front());
        stream->queue.pop_front();
        const auto before = state().running;
        state().running = self;
        lock.unlock();
        if (work.op.run && !context_is_lost()) {
            const bool is_kernel = work.op.kind == NodeKind::kernel;
            const memory::Access access(is_kernel ? stream->context->device
                                                  : memory::Access::all_devices);
            work.op.run();
        }
        if (work.op.kind != NodeKind::graph)
            journal_execution(work.op.kind, work.op.label, stream->id, work.op.call, 0, 0);
        lock.lock();
        state().running = before;
        ++stream->done;
        state().idle.notify_all();
    }
}

void run_all(Lock& lock) {
    for (const auto& stream : all_streams())
        run_until(lock, stream, stream->submitted);
    std::erase_if(state().built_in, [](const auto& s) {
        return s.use_count() == 1 && s->done == s->submitted;  // destroyed, and now done
    });
}

std::size_t pending() {
    std::size_t count = 0;
    for (const auto& stream : all_streams())
        count += stream->submitted - stream->done;
    return count;
}

int append(Lock& lock, const std::shared_ptr<Stream>& stream, Op op) {
    Call* call = Call::current();
    if (call != nullptr) {
        op.call = call->number();
        call->note("stream", stream->id);
        call->note("captured", stream->capture != nullptr);
    }
    if (const int error = refuse_implicit(*stream)) return error;
    if (stream->capture) {
        if (stream->capture->invalidated) return capture_invalidated;
        Node& node = add_node(*stream->capture->graph, std::move(op), stream->tail);
        stream->tail = {&node};
        if (call != nullptr) {
            call->note("graph", stream->capture->graph->id);
            call->note("node", node.id);
        }
        return ok;
    }
    stream->queue.push_back({std::move(op), implied(stream)});
    ++stream->submitted;
    if (state().eager) run_until(lock, stream, stream->submitted);
    return ok;
}

int submit(Call& call, void* handle, Op op) {
    Lock lock(world());
    const auto stream = find_stream(call, handle);
    if (!stream) return invalid_handle;
    return append(lock, stream, std::move(op));
}

int synchronize(Call& call, void* handle) {
    Lock lock(world());
    const auto stream = find_stream(call, handle);
    if (!stream) return invalid_handle;
    call.note("stream", stream->id);
    if (stream->capture) {
        stream->capture->invalidated = true;
        return capture_unsupported;
    }
    if (const int error = refuse_implicit(*stream)) return error;
    for (const Mark& mark : implied(stream))
        run_until(lock, mark.stream, mark.position);
    run_until(lock, stream, stream->submitted);
    return ok;
}

int synchronize_device(Call& call) {
    Lock lock(world());
    if (const int error = refuse_in_capture(lock)) return error;
    call.note("pending", static_cast<std::uint64_t>(pending()));
    run_all(lock);
    return ok;
}

int query(Call& call, void* handle) {
    Lock lock(world());
    const auto stream = find_stream(call, handle);
    if (!stream) return invalid_handle;
    if (stream->capture) {
        stream->capture->invalidated = true;
        return capture_unsupported;
    }
    if (stream->done == stream->submitted) return ok;
    run_until(lock, stream, stream->done + 1);  // so that a program that asks in a loop gets on
    return not_ready;
}

int create_event(unsigned flags, void** out) {
    if (out == nullptr) return invalid_value;
    const Lock lock(world());
    auto event = std::make_shared<Event>();
    event->id = next_id();
    event->flags = flags;
    *out = event.get();
    state().events[*out] = event;
    return ok;
}

int destroy_event(void* handle) {
    const Lock lock(world());
    return state().events.erase(handle) == 1 ? ok : invalid_handle;
}

int record(Call& call, void* handle, void* stream_handle) {
    Lock lock(world());
    const auto event = find_event(handle);
    const auto stream = find_stream(call, stream_handle);
    if (!event || !stream) return invalid_handle;
    call.note("event", event->id);
    if (stream->capture) {
        call.note("stream", stream->id);
        call.note("captured", true);
        if (stream->capture->invalidated) return capture_invalidated;
        event->captured = true;
        event->capture = stream->capture;
        event->nodes = stream->tail;
        return ok;
    }
    event->captured = false;
    const std::weak_ptr<Event> weak = event;
    const Op op{NodeKind::event_record,
                {},
                [weak] {
                    if (const auto alive = weak.lock()) alive->seconds = now();
                },
                nullptr,
                0};
    event->mark = {stream, stream->submitted + 1};
    return append(lock, stream, op);
}

int wait(Call& call, void* stream_handle, void* handle) {
    Lock lock(world());
    const auto event = find_event(handle);
    const auto stream = find_stream(call, stream_handle);
    if (!event || !stream) return invalid_handle;
    call.note("event", event->id);
    call.note("stream", stream->id);
    if (event->captured) {
        const auto capture = event->capture.lock();
        if (!capture) return captured_event;
        if (stream->capture && stream->capture != capture) return capture_merge;
        if (!stream->capture) {
            stream->capture = capture;
            stream->tail.clear();
            capture->members.push_back(stream);
        }
        for (Node* node : event->nodes) {
            if (std::find(stream->tail.begin(), stream->tail.end(), node) == stream->tail.end()) {
                stream->tail.push_back(node);
            }
        }
        return ok;
    }
    if (stream->capture) {
        if (event->mark.position == 0) return ok;
        stream->capture->invalidated = true;
        return capture_isolation;
    }
    if (event->mark.position == 0 || event->mark.stream->done >= event->mark.position) return ok;
    // A copy of the mark: a later record of the event does not move what was waited for.
    const Mark mark = event->mark;
    if (const int error = append(lock, stream, {NodeKind::event_wait, {}, {}, nullptr, 0}))
        return error;
    if (!stream->queue.empty()) stream->queue.back().after.push_back(mark);
    return ok;
}

int synchronize_event(Call& call, void* handle) {
    Lock lock(world());
    const auto event = find_event(handle);
    if (!event) return invalid_handle;
    call.note("event", event->id);
    if (event->captured) return captured_event;
    if (event->mark.stream) {
        const Mark mark = event->mark;
        run_until(lock, mark.stream, mark.position);
    }
    return ok;
}

int query_event(Call& call, void* handle) {
    Lock lock(world());
    if (const int error = refuse_in_capture(lock)) return error;
    const auto event = find_event(handle);
    if (!event) return invalid_handle;
    call.note("event", event->id);
    if (event->captured) return captured_event;
    const Mark mark = event->mark;
    if (!mark.stream || mark.stream->done >= mark.position) return ok;
    run_until(lock, mark.stream, mark.stream->done + 1);
    return not_ready;
}

int elapsed(void* start_handle, void* end_handle, float* milliseconds) {
    const Lock lock(world());
    const auto start = find_event(start_handle);
    const auto end = find_event(end_handle);
    if (!start || !end || milliseconds == nullptr) return invalid_handle;
    for (const auto& event : {start, end}) {
        if (event->mark.position == 0) return invalid_handle;
        if (event->mark.stream->done < event->mark.position) return not_ready;
    }
    *milliseconds = static_cast<float>((end->seconds - start->seconds) * 1e3);
    return ok;
}

}  // namespace fake

extern "C" void fake_cuda_pump(void) {
    fake::Lock lock(fake::world());
    fake::run_all(lock);
}

extern "C" size_t fake_cuda_pending(void) {
    const fake::Lock lock(fake::world());
    return fake::pending();
}
