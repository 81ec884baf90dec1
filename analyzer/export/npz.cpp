// .npz: a zip archive of .npy files, stored. Sizes above 4 GiB use the zip64 fields.
#include <fmt/format.h>
#include <zlib.h>

#include <concepts>
#include <cstdint>
#include <limits>
#include <span>

#include "analyzer/export/output_file.hpp"
#include "analyzer/export/writers.hpp"

namespace orch {
namespace {

constexpr std::uint32_t in_zip64 = std::numeric_limits<std::uint32_t>::max();

/// Numbers of a fixed width, low byte first.
class Bytes {
  public:
    template <std::unsigned_integral Number>
    Bytes& add(Number value) {
        for (std::size_t i = 0; i < sizeof value; ++i)
            text_ += static_cast<char>((static_cast<std::uint64_t>(value) >> (8 * i)) & 0xff);
        return *this;
    }
    Bytes& add(std::string_view text) {
        text_ += text;
        return *this;
    }
    const std::string& text() const { return text_; }

  private:
    std::string text_;
};

std::uint16_t u16(std::size_t value) {
    return static_cast<std::uint16_t>(value);
}

class Zip {
  public:
    explicit Zip(const std::filesystem::path& path) : file_(path) {}

    void add(const std::string& name, std::string_view head, std::string_view body) {
        Member member{name, file_.written(), head.size() + body.size(), 0};
        uLong crc = crc32_z(0, reinterpret_cast<const Bytef*>(head.data()), head.size());
        crc = crc32_z(crc, reinterpret_cast<const Bytef*>(body.data()), body.size());
        member.crc = static_cast<std::uint32_t>(crc);
        // The local header always has both sizes in 64 bits: one form for all.
        Bytes extra;
        extra.add(std::uint16_t{1}).add(std::uint16_t{16}).add(member.size).add(member.size);
        Bytes header;
        header.add(std::uint32_t{0x04034b50});
        common(header, member);
        header.add(in_zip64).add(in_zip64).add(u16(name.size())).add(u16(extra.text().size()));
        file_.write(header.text());
        file_.write(name);
        file_.write(extra.text());
        file_.write(head);
        file_.write(body);
        members_.push_back(std::move(member));
    }

    void commit() {
        const std::uint64_t begin = file_.written();
        for (const Member& member : members_) {
            Bytes extra;
            extra.add(std::uint16_t{1}).add(std::uint16_t{24});
            extra.add(member.size).add(member.size).add(member.offset);
            Bytes entry;
            entry.add(std::uint32_t{0x02014b50}).add(std::uint16_t{45});
            common(entry, member);
            entry.add(in_zip64).add(in_zip64).add(u16(member.name.size()));
            entry.add(u16(extra.text().size())).add(std::uint16_t{0}).add(std::uint16_t{0});
            entry.add(std::uint16_t{0}).add(std::uint32_t{0}).add(in_zip64);
            file_.write(entry.add(member.name).add(extra.text()).text());
        }
        const std::uint64_t end = file_.written();
        const std::uint64_t count = members_.size();
        Bytes tail;
        tail.add(std::uint32_t{0x06064b50}).add(std::uint64_t{44}).add(std::uint16_t{45});
        tail.add(std::uint16_t{45}).add(std::uint32_t{0}).add(std::uint32_t{0});
        tail.add(count).add(count).add(end - begin).add(begin);
        tail.add(std::uint32_t{0x07064b50}).add(std::uint32_t{0}).add(end).add(std::uint32_t{1});
        tail.add(std::uint32_t{0x06054b50}).add(std::uint16_t{0}).add(std::uint16_t{0});
        tail.add(std::uint16_t{0xffff}).add(std::uint16_t{0xffff}).add(in_zip64).add(in_zip64);
        file_.write(tail.add(std::uint16_t{0}).text());
        file_.commit();
    }

  private:
    struct Member {
        std::string name;
        std::uint64_t offset;
        std::uint64_t size;
        std::uint32_t crc;
    };

    /// From "version needed" to the CRC; the day is 1980-01-01, so that the same trace gives the
    /// same bytes.
    static void common(Bytes& header, const Member& member) {
        header.add(std::uint16_t{45}).add(std::uint16_t{0x800}).add(std::uint16_t{0});
        header.add(std::uint16_t{0}).add(std::uint16_t{0x21}).add(member.crc);
    }

    OutputFile file_;
    std::vector<Member> members_;
};

std::string npy_header(std::string_view type, const std::string& shape) {
    std::string text =
        fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}", type, shape);
    constexpr std::size_t prefix = 10;
    text.resize((prefix + text.size() + 1 + 63) / 64 * 64 - prefix - 1, ' ');
    text += '\n';
    Bytes header;
    header.add(std::string_view{"\x93NUMPY\x01\x00", 8}).add(u16(text.size())).add(text);
    return header.text();
}

template <class Number>
std::string_view bytes_of(const std::vector<Number>& numbers) {
    return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(Number)};
}

void add_column(Zip& zip, const std::string& name, const std::vector<std::int64_t>& column) {
    zip.add(name + ".npy", npy_header("<i8", fmt::format("({},)", column.size())),
            bytes_of(column));
}

void add_array(Zip& zip, const ValueArray& array) {
    const std::string shape = fmt::format("({}, {})", array.rows(), array.cols);
    if (array.f64) {
        zip.add(array.name + ".npy", npy_header("<f8", shape), bytes_of(array.data));
    } else {
        const std::vector<float> narrow(array.data.begin(), array.data.end());
        zip.add(array.name + ".npy", npy_header("<f4", shape), bytes_of(narrow));
    }
    add_column(zip, array.name + ".token_idx", array.token_idx);
    add_column(zip, array.name + ".line", array.line);
    add_column(zip, array.name + ".count", array.count);
}

}  // namespace

Exported export_npz(const Trace& trace, const Selection& selection,
                    const std::filesystem::path& path) {
    Zip zip{path};
    Exported exported;
    exported.arrays = for_each_array(trace, selection, [&](ValueArray&& array) {
        exported.records += array.rows();
        add_array(zip, array);
    });
    if (exported.arrays != 0) zip.commit();
    return exported;
}

}  // namespace orch
