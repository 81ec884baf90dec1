// safetensors: eight bytes of length, a JSON header with the place of each tensor, the data.
#include <nlohmann/json.hpp>

#include "analyzer/export/output_file.hpp"
#include "analyzer/export/writers.hpp"

namespace orch {
namespace {

using Json = nlohmann::ordered_json;

class Header {
  public:
    void add(const std::string& name, const char* type, std::vector<std::size_t> shape,
             std::size_t element) {
        std::size_t bytes = element;
        for (const std::size_t extent : shape)
            bytes *= extent;
        json_[name] = {
            {"dtype", type}, {"shape", shape}, {"data_offsets", {offset_, offset_ + bytes}}};
        offset_ += bytes;
    }
    void note(const std::string& name, const std::string& text) { notes_[name] = text; }

    /// Padded, so that the data begin at a multiple of eight.
    std::string bytes() {
        Json all{{"__metadata__", notes_}};
        all.update(json_);
        std::string text = all.dump(-1, ' ', false, Json::error_handler_t::replace);
        text.resize((text.size() + 7) / 8 * 8, ' ');
        std::string head(8, '\0');
        for (std::size_t i = 0; i < 8; ++i)
            head[i] = static_cast<char>((text.size() >> (8 * i)) & 0xff);
        return head + text;
    }

  private:
    Json json_ = Json::object();
    Json notes_ = Json::object();
    std::size_t offset_ = 0;
};

template <class Number>
std::string_view bytes_of(const std::vector<Number>& numbers) {
    return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(Number)};
}

}  // namespace

Exported export_safetensors(const Trace& trace, const Selection& selection,
                            const std::filesystem::path& path) {
    // The header comes first and tells every size: one reading for the sizes, one for the data.
    Header header;
    header.note("written_by", "orchtrace " ORCH_VERSION);
    Exported exported;
    exported.arrays = for_each_array(trace, selection, [&](ValueArray&& array) {
        header.add(array.name, array.f64 ? "F64" : "F32", {array.rows(), array.cols},
                   array.f64 ? sizeof(double) : sizeof(float));
        header.add(array.name + ".token_idx", "I64", {array.rows()}, sizeof(std::int64_t));
        header.note(array.name, "recorded shape " + array.shape);
        exported.records += array.rows();
    });
    if (exported.arrays == 0) return exported;
    OutputFile file{path};
    file.write(header.bytes());
    for_each_array(trace, selection, [&](ValueArray&& array) {
        if (array.f64) {
            file.write(bytes_of(array.data));
        } else {
            file.write(bytes_of(std::vector<float>(array.data.begin(), array.data.end())));
        }
        file.write(bytes_of(array.token_idx));
    });
    file.commit();
    return exported;
}

}  // namespace orch
