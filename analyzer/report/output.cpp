#include "analyzer/report/output.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "analyzer/export/output_file.hpp"

namespace orch {

void write_document(const std::string& path, std::string_view text) {
    std::error_code error;
    const std::filesystem::file_status status = std::filesystem::status(path, error);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
        std::ofstream out(path, std::ios::binary);
        out << text;
        out.flush();
        if (!out) throw std::runtime_error(fmt::format("{}: cannot be written", path));
        return;
    }
    OutputFile out(path);
    out.write(text);
    out.commit();
}

}  // namespace orch
