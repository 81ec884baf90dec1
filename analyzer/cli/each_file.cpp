#include "analyzer/cli/each_file.hpp"

#include <ostream>

#include "analyzer/cli/exit_codes.hpp"
#include "analyzer/read/read_counts.hpp"
#include "analyzer/util/text.hpp"

namespace orch {
namespace {

using Json = nlohmann::ordered_json;

template <class OnError>
int for_each_file(const std::vector<std::string>& paths, Context& context,
                  const std::function<void(const std::string&)>& use, const OnError& on_error) {
    int code = exit_ok;
    for (const std::string& path : paths) {
        try {
            use(path);
        } catch (const UnreadableFile& error) {
            context.err << "orchtrace: " << printable(error.what()) << std::endl;
            on_error(path, error);
            code = exit_unusable;
        }
    }
    return code;
}

}  // namespace

int show_each_file(const std::vector<std::string>& paths, Context& context,
                   const std::function<void(const std::string&)>& show) {
    return for_each_file(paths, context, show, [](const std::string&, const UnreadableFile&) {});
}

int show_each_file_as_json(const std::vector<std::string>& paths, int schema_version,
                           Context& context,
                           const std::function<Json(const std::string&)>& describe) {
    Json files = Json::array();
    const int code = for_each_file(
        paths, context, [&](const std::string& path) { files.push_back(describe(path)); },
        [&](const std::string& path, const UnreadableFile& error) {
            files.push_back({{"path", path}, {"error", error.what()}});
        });
    const Json document{{"schema_version", schema_version}, {"files", std::move(files)}};
    // A path need not be UTF-8; a document that cannot be written helps nobody.
    context.out << document.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
    return code;
}

}  // namespace orch
