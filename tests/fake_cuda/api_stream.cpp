// Streams, events, capture.
#include "api.hpp"
#include "core/device.hpp"
#include "core/graph.hpp"

namespace fake {
namespace {

int create_stream(void** stream, unsigned flags, int priority) {
    if (stream == nullptr || flags > 1) return invalid_value;
    const Lock lock(world());
    *stream = make_stream(*current_context(true), flags, priority).get();
    return ok;
}

int destroy(Call& call, void* stream) {
    const Lock lock(world());
    return destroy_stream(call, stream);
}

template <class Get>
int ask(Call& call, void* handle, const Get& get) {
    const Lock lock(world());
    const auto stream = find_stream(call, handle);
    if (!stream) return invalid_handle;
    call.note("stream", stream->id);
    get(*stream);
    return ok;
}

int host_function(Call& call, void* stream, void (*function)(void*), void* data) {
    if (function == nullptr) return invalid_value;
    return submit(call, stream,
                  {NodeKind::host, {}, [function, data] { function(data); }, nullptr, 0});
}

int callback(Call& call, void* stream, void (*function)(void*, int, void*), void* data) {
    if (function == nullptr) return invalid_value;
    {
        const Lock lock(world());
        const auto target = find_stream(call, stream);
        if (!target) return invalid_handle;
        if (target->capture) return capture_unsupported;
    }
    const auto run = [=] { function(stream, ok, data); };
    return submit(call, stream, {NodeKind::host, {}, run, nullptr, 0});
}

int status_of(const Stream& stream) {
    return !stream.capture ? 0 : stream.capture->invalidated ? 2 : 1;
}

int is_capturing(Call& call, void* stream, int* status) {
    if (status == nullptr) return invalid_value;
    return ask(call, stream, [&](const Stream& s) { *status = status_of(s); });
}

int begin(Call& call, void* handle, int mode) {
    const Lock lock(world());
    const auto stream = find_stream(call, handle);
    if (!stream) return invalid_handle;
    if (mode < 0 || mode > 2) return invalid_value;
    const int error = begin_capture(stream, mode);
    call.note("stream", stream->id);
    if (error == ok) call.note("graph", stream->capture->graph->id);
    return error;
}

int end(Call& call, void* handle, void** out) {
    if (out == nullptr) return invalid_value;
    *out = nullptr;
    const Lock lock(world());
    const auto stream = find_stream(call, handle);
    if (!stream) return invalid_handle;
    call.note("stream", stream->id);
    std::unique_ptr<Graph> graph;
    if (const int error = end_capture(stream, graph)) return error;
    call.note("graph", graph->id);
    call.note("nodes", static_cast<std::uint64_t>(graph->nodes.size()));
    *out = handles::keep(std::move(graph));
    return ok;
}

struct CaptureQuery {
    int* status;
    unsigned long long* id;
    void** graph;
    const void** dependencies;
    const void** edges;
    size_t* count;
};

int capture_info(Call& call, void* handle, const CaptureQuery& out) {
    if (out.status == nullptr) return invalid_value;
    return ask(call, handle, [&](const Stream& s) {
        *out.status = status_of(s);
        if (!s.capture) return;
        if (out.id != nullptr) *out.id = s.capture->id;
        if (out.graph != nullptr) *out.graph = s.capture->graph.get();
        if (out.dependencies != nullptr) *out.dependencies = s.tail.data();
        if (out.edges != nullptr) *out.edges = nullptr;
        if (out.count != nullptr) *out.count = s.tail.size();
    });
}

int exchange_mode(int* mode) {
    if (mode == nullptr || *mode < 0 || *mode > 2) return invalid_value;
    std::swap(*mode, capture_mode_of_thread());
    return ok;
}

}  // namespace

namespace api {

int cuStreamCreate(Call&, void** stream, unsigned flags) {
    return create_stream(stream, flags, 0);
}
int cuStreamCreateWithPriority(Call&, void** stream, unsigned flags, int priority) {
    return create_stream(stream, flags, priority);
}
int cuStreamDestroy_v2(Call& c, void* stream) {
    return destroy(c, stream);
}
int cuStreamSynchronize(Call& c, void* stream) {
    return synchronize(c, stream);
}
int cuStreamQuery(Call& c, void* stream) {
    return query(c, stream);
}
int cuStreamWaitEvent(Call& c, void* stream, void* event, unsigned) {
    return wait(c, stream, event);
}
int cuStreamGetFlags(Call& c, void* stream, unsigned* flags) {
    return ask(c, stream, [&](const Stream& s) { *flags = s.flags; });
}
int cuStreamGetPriority(Call& c, void* stream, int* priority) {
    return ask(c, stream, [&](const Stream& s) { *priority = s.priority; });
}
int cuStreamGetId(Call& c, void* stream, unsigned long long* id) {
    return ask(c, stream, [&](const Stream& s) { *id = s.id; });
}
int cuStreamGetCtx(Call& c, void* stream, void** context) {
    return ask(c, stream, [&](const Stream& s) { *context = s.context; });
}
int cuStreamAddCallback(Call& c, void* stream, void (*function)(void*, int, void*), void* data,
                        unsigned) {
    return callback(c, stream, function, data);
}
int cuLaunchHostFunc(Call& c, void* stream, void (*function)(void*), void* data) {
    return host_function(c, stream, function, data);
}
int cuStreamIsCapturing(Call& c, void* stream, int* status) {
    return is_capturing(c, stream, status);
}
int cuStreamBeginCapture_v2(Call& c, void* stream, int mode) {
    return begin(c, stream, mode);
}
int cuStreamEndCapture(Call& c, void* stream, void** graph) {
    return end(c, stream, graph);
}
int cuStreamGetCaptureInfo(Call& c, void* stream, int* status, unsigned long long* id) {
    return capture_info(c, stream, {status, id, nullptr, nullptr, nullptr, nullptr});
}
int cuStreamGetCaptureInfo_v2(Call& c, void* stream, int* status, unsigned long long* id,
                              void** graph, const void** dependencies, size_t* count) {
    return capture_info(c, stream, {status, id, graph, dependencies, nullptr, count});
}
int cuStreamGetCaptureInfo_v3(Call& c, void* stream, int* status, unsigned long long* id,
                              void** graph, const void** dependencies, const void** edges,
                              size_t* count) {
    return capture_info(c, stream, {status, id, graph, dependencies, edges, count});
}
int cuThreadExchangeStreamCaptureMode(Call&, int* mode) {
    return exchange_mode(mode);
}
int cuEventCreate(Call&, void** event, unsigned flags) {
    return create_event(flags, event);
}
int cuEventDestroy_v2(Call&, void* event) {
    return destroy_event(event);
}
int cuEventRecord(Call& c, void* event, void* stream) {
    return record(c, event, stream);
}
int cuEventRecordWithFlags(Call& c, void* event, void* stream, unsigned) {
    return record(c, event, stream);
}
int cuEventSynchronize(Call& c, void* event) {
    return synchronize_event(c, event);
}
int cuEventQuery(Call& c, void* event) {
    return query_event(c, event);
}
int cuEventElapsedTime(Call&, float* milliseconds, void* start, void* last) {
    return elapsed(start, last, milliseconds);
}

int cudaStreamCreate(Call&, void** stream) {
    return create_stream(stream, 0, 0);
}
int cudaStreamCreateWithFlags(Call&, void** stream, unsigned flags) {
    return create_stream(stream, flags, 0);
}
int cudaStreamCreateWithPriority(Call&, void** stream, unsigned flags, int priority) {
    return create_stream(stream, flags, priority);
}
int cudaStreamDestroy(Call& c, void* stream) {
    return destroy(c, stream);
}
int cudaStreamSynchronize(Call& c, void* stream) {
    return synchronize(c, stream);
}
int cudaStreamQuery(Call& c, void* stream) {
    return query(c, stream);
}
int cudaStreamWaitEvent(Call& c, void* stream, void* event, unsigned) {
    return wait(c, stream, event);
}
int cudaStreamGetFlags(Call& c, void* stream, unsigned* flags) {
    return cuStreamGetFlags(c, stream, flags);
}
int cudaStreamGetPriority(Call& c, void* stream, int* priority) {
    return cuStreamGetPriority(c, stream, priority);
}
int cudaStreamGetId(Call& c, void* stream, unsigned long long* id) {
    return cuStreamGetId(c, stream, id);
}
int cudaStreamAddCallback(Call& c, void* stream, void (*function)(void*, int, void*), void* data,
                          unsigned) {
    return callback(c, stream, function, data);
}
int cudaLaunchHostFunc(Call& c, void* stream, void (*function)(void*), void* data) {
    return host_function(c, stream, function, data);
}
int cudaStreamIsCapturing(Call& c, void* stream, int* status) {
    return is_capturing(c, stream, status);
}
int cudaStreamBeginCapture(Call& c, void* stream, int mode) {
    return begin(c, stream, mode);
}
int cudaStreamEndCapture(Call& c, void* stream, void** graph) {
    return end(c, stream, graph);
}
int cudaStreamGetCaptureInfo_v2(Call& c, void* stream, int* status, unsigned long long* id,
                                void** graph, const void** dependencies, size_t* count) {
    return capture_info(c, stream, {status, id, graph, dependencies, nullptr, count});
}
int cudaStreamGetCaptureInfo_v3(Call& c, void* stream, int* status, unsigned long long* id,
                                void** graph, const void** dependencies, const void** edges,
                                size_t* count) {
    return capture_info(c, stream, {status, id, graph, dependencies, edges, count});
}
int cudaStreamGetCaptureInfo(Call& c, void* stream, int* status, unsigned long long* id,
                             void** graph, const void** dependencies, const void** edges,
                             size_t* count) {
    return capture_info(c, stream, {status, id, graph, dependencies, edges, count});
}
int cudaThreadExchangeStreamCaptureMode(Call&, int* mode) {
    return exchange_mode(mode);
}
int cudaEventCreate(Call&, void** event) {
    return create_event(0, event);
}
int cudaEventCreateWithFlags(Call&, void** event, unsigned flags) {
    return create_event(flags, event);
}
int cudaEventDestroy(Call&, void* event) {
    return destroy_event(event);
}
int cudaEventRecord(Call& c, void* event, void* stream) {
    return record(c, event, stream);
}
int cudaEventRecordWithFlags(Call& c, void* event, void* stream, unsigned) {
    return record(c, event, stream);
}
int cudaEventSynchronize(Call& c, void* event) {
    return synchronize_event(c, event);
}
int cudaEventQuery(Call& c, void* event) {
    return query_event(c, event);
}
int cudaEventElapsedTime(Call&, float* milliseconds, void* start, void* last) {
    return elapsed(start, last, milliseconds);
}

}  // namespace api
}  // namespace fake
