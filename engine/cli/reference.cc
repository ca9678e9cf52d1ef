#include "engine/cli/reference.h"

#include <string_view>

#include "engine/cli/output.h"
#include "protocol/error.h"

namespace vmferry::cli {

Reference parse_reference(const std::string& text, const std::string& at) {
  // The colon of "@id:3fa9" is the point's own.
  std::size_t from = text.find('@');
  constexpr std::string_view id_prefix = "@id:";
  if (from != std::string::npos && text.compare(from, id_prefix.size(), id_prefix) == 0)
    from += id_prefix.size();
  else
    from = 0;
  const std::size_t colon = text.find(':', from);
  Reference reference;
  reference.point = parse_point_name(std::string_view(text).substr(0, colon));
  if (colon != std::string::npos) reference.path = restore::parse_path(std::string_view(text).substr(colon + 1));
  if (!at.empty()) {
    if (reference.point.which != PointName::Which::latest)
      throw Error(ErrorCode::usage, "--at and @POINT both name a point", text, "leave one of them out");
    reference.point.which = PointName::Which::not_after;
    reference.point.not_after_ms = parse_local_time_ms(at);
  }
  return reference;
}

RestorePoint resolve_point(const PointName& name, target::TargetSession& session, const Uuid& own_client) {
  return session.point(pick_point(name, session.points(), own_client).uuid);
}

}  // namespace vmferry::cli
