#include <CLI/CLI.hpp>
#include <ctime>

#include "target-server/cli/commands.h"
#include "target-server/cli/json_members.h"
#include "target-server/cli/size_text.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {
namespace {

std::string day_text(std::int64_t unix_seconds) {
  const auto seconds = static_cast<std::time_t>(unix_seconds);
  std::tm local{};
  char text[32] = "?";
  if (::localtime_r(&seconds, &local) != nullptr) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local);
  return text;
}

// Backups that began and were not committed.
std::string unfinished_text(const store::Pin& pin, bool is_expired) {
  return "unfinished " + pin.machine_name + " of client " + pin.client.to_string() + ": begun " + day_text(pin.since) +
         (is_expired ? "; what arrived was kept until " + day_text(pin.until) + ", and no longer is\n"
                     : "; what arrived is kept until " + day_text(pin.until) + "\n");
}

Outcome status_of(const std::string& directory) {
  const auto opened = store::Store::open(directory, {.writable = false, .socket = {}});
  const store::StoreStatus status = opened->status();
  const std::vector<store::DamagedPoint> damaged = opened->damaged_points();

  nlohmann::ordered_json notes = nlohmann::ordered_json::array(), bad = nlohmann::ordered_json::array();
  std::string text = "store      " + status.uuid.to_string() + " in " + directory + "\n";
  text += "machines   " + std::to_string(status.machines) + ", " + std::to_string(status.points) + " restore points\n";
  text += "stored     " + size_text(status.stored_bytes) + " in " + std::to_string(status.packs) + " packs, " +
          std::to_string(status.chunks) + " chunks\n";
  text += "disk       " + size_text(status.available_bytes) + " free of " + size_text(status.file_system_bytes) + ", " +
          size_text(status.reserve_bytes) + " kept in reserve\n";
  text += status.writer_pid ? "in use by  process " + std::to_string(*status.writer_pid) + "\n" : "in use by  nobody\n";
  for (const Warning& note : opened->notes()) {
    text += "note       " + note.object + ": " + note.message + "\n";
    notes.push_back({{"code", note.code}, {"object", note.object}, {"message", note.message}});
  }
  nlohmann::ordered_json unfinished = nlohmann::ordered_json::array();
  for (const store::Pin& pin : opened->pins()) {
    const bool is_expired = pin.until < std::time(nullptr);
    text += unfinished_text(pin, is_expired);
    unfinished.push_back({{"client_uuid", pin.client.to_string()}, {"machine_uuid", pin.machine.to_string()},
                          {"name", pin.machine_name}, {"since", pin.since}, {"until", pin.until},
                          {"expired", is_expired}});
  }
  if (status.lost_chunks != 0)
    text += "LOST       " + std::to_string(status.lost_chunks) +
            (status.lost_chunks == 1 ? " chunk is lost: the next backup that has it sends it again\n"
                                     : " chunks are lost: the next backup that has them sends them again\n");
  for (const store::DamagedPoint& point : damaged) {
    text += "DAMAGED    " + point.file + ": " + point.reason + "\n";
    bad.push_back({{"file", point.file}, {"uuid", point.uuid.to_string()}, {"number", point.number},
                   {"reason", point.reason}});
  }
  nlohmann::ordered_json facts = {
      {"store", directory}, {"uuid", status.uuid.to_string()}, {"machines", status.machines},
      {"points", status.points}, {"packs", status.packs}, {"chunks", status.chunks},
      {"lost_chunks", status.lost_chunks},
      {"stored_bytes", status.stored_bytes}, {"available_bytes", status.available_bytes},
      {"reserve_bytes", status.reserve_bytes}, {"file_system_bytes", status.file_system_bytes}};
  facts["writer_pid"] = status.writer_pid ? nlohmann::ordered_json(*status.writer_pid) : nlohmann::ordered_json();
  facts["unfinished_backups"] = unfinished;
  facts["damaged_points"] = bad;
  facts["notes"] = notes;
  return {text, json_members(facts), damaged.empty() && status.lost_chunks == 0 ? 0 : 4};
}

}  // namespace

void add_status_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("status", "Say what a store holds, and who uses it");
  const auto directory = std::make_shared<std::string>();
  command->add_option("--store", *directory, "the store's directory")->required()->type_name("DIR");
  command->footer(
      "Example:\n  vmferry-target status --store /backup/vmferry --json\n"
      "Exit code 4: a restore point is damaged, or chunks are lost.");
  command->callback([&invocation, directory] { invocation.run = [directory] { return status_of(*directory); }; });
}

}  // namespace vmferry::target_server
