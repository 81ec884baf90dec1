#include "analyzer/read/trace_index.hpp"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "analyzer/read/chunk_index.hpp"
#include "analyzer/util/parallel.hpp"

namespace orch {
namespace {

/// A chunk and its entries stay in the second-level cache.
constexpr std::size_t chunk_size = std::size_t{1} << 20;
/// The least that a line must have to be a record: {"checkpoint":""}
constexpr std::size_t least_record = 17;

/// Threads read chunks in any order; each is then added to the index in the order of the file. What
/// adding takes in turn is little: giving places and numbers. The copying is again for all threads.
class Indexer {
  public:
    Indexer(const Content& content, unsigned threads)
        : content_(content),
          file_(content.bytes()),
          chunks_((file_.size() + chunk_size - 1) / chunk_size),
          // A thread alone keeps to one slot: it stays in its cache.
          slots_(std::min<std::size_t>(chunks_, threads == 1 ? 1 : std::size_t{4} * threads)) {
        index_.entries = EntryStore{file_.size() / least_record + 1};
        for (std::size_t i = 0; i < slots_.size(); ++i)
            slots_[i].next = i;
    }

    TraceIndex run(unsigned threads) {
        {
            std::vector<std::jthread> others;
            for (std::size_t i = 1; i < std::min<std::size_t>(threads, chunks_); ++i)
                others.emplace_back([this] { work(); });
            work();
        }
        if (failure_) std::rethrow_exception(failure_);
        index_.counts.bytes = file_.size();
        if (!index_.runs.empty()) index_.runs.back().end = index_.entries.entries().size();
        return std::move(index_);
    }

  private:
    struct Slot {
        ChunkIndex chunk;
        std::size_t next = 0;  ///< the chunk that the slot is free for
        bool is_read = false;
        std::span<Entry> place;
        std::vector<StringId> ids;  ///< of the chunk's texts, in the index
        std::uint64_t first_line = 0;
    };
    Slot& slot_of(std::size_t chunk) { return slots_[chunk % slots_.size()]; }

    void work() {
        try {
            ChunkReader reader;
            for (;;) {
                const std::size_t chunk = take();
                if (chunk >= chunks_) return;
                const std::size_t begin = chunk * chunk_size;
                const std::size_t end = std::min(begin + chunk_size, file_.size());
                reader.read(file_, begin, end, slot_of(chunk).chunk);
                add_in_order(chunk);
            }
        } catch (...) {
            const std::lock_guard lock{guard_};
            if (!failure_) failure_ = std::current_exception();
            changed_.notify_all();
        }
    }

    std::size_t take() {
        std::unique_lock lock{guard_};
        const std::size_t chunk = next_++;
        if (chunk >= chunks_) return chunk;
        changed_.wait(lock, [&] { return failure_ || slot_of(chunk).next == chunk; });
        return failure_ ? chunks_ : chunk;
    }

    void add_in_order(std::size_t read) {
        std::unique_lock lock{guard_};
        slot_of(read).is_read = true;
        while (added_ < chunks_ && slot_of(added_).is_read && slot_of(added_).next == added_) {
            const std::size_t chunk = added_++;
            Slot& slot = slot_of(chunk);
            add(slot);
            lock.unlock();
            copy_entries(slot);
            forget_up_to(chunk + 1);
            lock.lock();
            slot.is_read = false;
            slot.next += slots_.size();
            changed_.notify_all();
        }
    }

    /// Nobody needs the text of these chunks any more. The last few were forgotten before, but
    /// Linux maps large pages whole: who reads the next chunk brings back what is in front of it.
    void forget_up_to(std::size_t chunk) const {
        const std::size_t end = std::min(chunk * chunk_size, file_.size());
        content_.forget(end - std::min(end, 4 * chunk_size), end);
    }

    void add(Slot& slot) {
        const ChunkIndex& chunk = slot.chunk;
        const std::size_t first = index_.entries.entries().size();
        slot.place = index_.entries.extend(chunk.entries.size());
        slot.first_line = index_.counts.lines;
        slot.ids.clear();
        for (std::size_t id = 0; id < chunk.texts.size(); ++id)
            slot.ids.push_back(index_.texts.id_of(chunk.texts[static_cast<StringId>(id)]));
        if (index_.runs.empty() && !chunk.entries.empty()) {
            start_run(first, chunk.entries.front(), slot.ids);
        }
        for (const std::size_t mark : chunk.marks)
            add_mark(first + mark, chunk.entries[mark], slot.ids);
        ReadCounts& counts = index_.counts;
        for (const BadLine& bad : chunk.bad_lines) {
            if (index_.bad_lines.size() == max_bad_lines_shown) break;
            index_.bad_lines.push_back({counts.lines + bad.line, bad.why, bad.truncated});
        }
        counts.lines += chunk.counts.lines;
        counts.records += chunk.counts.records;
        counts.bad_lines += chunk.counts.bad_lines;
        counts.blank_lines += chunk.counts.blank_lines;
        if (chunk.counts.lines > 0) counts.truncated = chunk.counts.truncated;
    }

    /// A header starts a run. So does a line of another team behind a run that has a header:
    /// orchtrace writes one team only, so another logger appended to its file.
    void add_mark(std::size_t number, const Entry& entry, const std::vector<StringId>& ids) {
        if (number == index_.runs.back().begin) return;
        const bool is_header = entry.kind == RecordKind::header;
        const bool is_foreign = run_has_header_ && ids[entry.team] != run_team_;
        if (is_header || is_foreign) start_run(number, entry, ids);
    }
    void start_run(std::size_t number, const Entry& entry, const std::vector<StringId>& ids) {
        if (!index_.runs.empty()) index_.runs.back().end = number;
        index_.runs.push_back({number, number});
        run_has_header_ = entry.kind == RecordKind::header;
        run_team_ = ids[entry.team];
    }

    static void copy_entries(Slot& slot) {
        std::size_t i = 0;
        for (Entry entry : slot.chunk.entries) {
            entry.line += slot.first_line;
            entry.team = slot.ids[entry.team];
            entry.checkpoint = slot.ids[entry.checkpoint];
            entry.weight = slot.ids[entry.weight];
            entry.dtype = slot.ids[entry.dtype];
            entry.shape = slot.ids[entry.shape];
            slot.place[i++] = entry;
        }
    }

    const Content& content_;
    const std::string_view file_;
    const std::size_t chunks_;
    TraceIndex index_;
    bool run_has_header_ = false;
    StringId run_team_ = 0;

    std::mutex guard_;
    std::condition_variable changed_;  ///< a slot became free, or failure_
    std::vector<Slot> slots_;
    std::size_t next_ = 0;
    std::size_t added_ = 0;
    std::exception_ptr failure_;
};

}  // namespace

TraceIndex reading::index_of(const Content& content, unsigned threads) {
    if (content.bytes().empty()) return {};
    threads = thread_count(threads);
    return Indexer{content, threads}.run(threads);
}

}  // namespace orch
