#include "engine/backup/backup_job.h"

#include "engine/backup/backup_run.h"
#include "protocol/bytes.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/now.h"

namespace vmferry::backup {
namespace {

// Before the machine is known: two first backups of one name would each make a machine up, and the name would have
// both.
std::unique_ptr<catalog::MachineLock> lock_name(const std::string& name, catalog::Catalog& catalog) {
  ByteWriter from;
  from.string("vmferry name");
  from.string(name);
  try {
    return catalog.lock_machine(Uuid::derived(from.view()));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::busy) throw;
    throw Error(ErrorCode::busy, "this machine is being backed up by another process", name, "wait until it is done");
  }
}

}  // namespace

BackupJob::BackupJob(const Source& source, BackupOptions options, catalog::Catalog& catalog, BackupEvents& events,
                     const std::atomic<bool>& cancel)
    : source_(source),
      options_(std::move(options)),
      catalog_(catalog),
      events_(events),
      cancel_(cancel),
      started_(std::chrono::steady_clock::now()),
      taken_ms_(now_ms()) {}

BackupJob::~BackupJob() = default;

void BackupJob::lock() {
  if (!name_lock_) name_lock_ = lock_name(machine_name_of(source_, options_.name), catalog_);
  if (identity_ && !machine_lock_) machine_lock_ = catalog_.lock_machine(identity_->machine);
}

std::optional<target::BackupOpening> BackupJob::early_opening() {
  lock();
  identity_ = identify_alone(source_, options_.name, catalog_);
  if (!identity_) return std::nullopt;
  lock();
  target::BackupOpening opening = opening_of(*identity_, options_);
  opening.base_candidates = catalog_.last_points_anywhere(identity_->machine, limits::base_points_max);
  if (opening.base_candidates.empty()) return std::nullopt;
  return opening;
}

void BackupJob::prepare(const std::function<void()>& tick) {
  if (layout_) return;
  lock();
  events_.phase("reading the file system");
  MachineLayout layout = build_machine_layout(source_, options_, [&] {
    throw_if_cancelled(cancel_);
    if (tick) tick();
  });
  for (const Warning& warning : layout.warnings) events_.warning(warning);
  layout_ = std::move(layout);
}

void BackupJob::expect_same_store(const target::TargetFacts& facts) {
  const std::pair now(facts.store_uuid, facts.domain_uuid);
  if (!store_and_domain_) store_and_domain_ = now;
  if (*store_and_domain_ != now)
    throw Error(ErrorCode::refused, "the target is another store than the one that the backup began with",
                "store " + facts.store_uuid.to_string(), "it was " + store_and_domain_->first.to_string() +
                    ": start the backup again if that is right");
}

RestorePoint BackupJob::run(target::TargetSession& session) {
  prepare();
  if (sessions_ > 0) source_.check_unchanged();
  expect_same_store(session.facts());
  ++sessions_;
  const TransportCounts before = session.counts();
  try {
    return run_in(session);
  } catch (...) {
    const TransportCounts after = session.counts();
    former_sessions_.sent_bytes += after.sent_bytes - before.sent_bytes;
    former_sessions_.received_bytes += after.received_bytes - before.received_bytes;
    throw;
  }
}

RestorePoint BackupJob::run_in(target::TargetSession& session) {
  if (!identity_) identity_ = identify(source_, options_.name, catalog_, session);
  lock();
  auto run = std::make_unique<BackupRun>(
      BackupParts{source_, options_, catalog_, events_, cancel_, *layout_, *identity_, started_, taken_ms_, sessions_,
                  former_sessions_},
      session);
  run->open();
  if (unanswered_ != nullptr) {
    if (const RestorePoint* committed = run->base_with(unanswered_->offered_point())) {
      RestorePoint point = *committed;
      run->close();
      return unanswered_->found_committed(std::move(point), run->moved());
    }
    unanswered_.reset();
  }
  try {
    return run->run();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::unreachable && !run->offered_point().is_none()) unanswered_ = std::move(run);
    throw;
  }
}

}  // namespace vmferry::backup
