// The members of a JSON object as text, "a": 1, "b": "x": what Outcome::members holds.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace vmferry::target_server {

inline std::string json_members(const nlohmann::ordered_json& object) {
  const std::string text = object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return text.substr(1, text.size() - 2);
}

}  // namespace vmferry::target_server
