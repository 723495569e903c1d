// The calls of plimsoll_client.h: find the client, ask the server, say how it went.
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "kvcache/c/names.h"
#include "rpc/c/client_handle.h"

namespace plimsoll::c_interface {
namespace {

absl::StatusOr<Duration> OrDefault(std::string_view field, int64_t ns, Duration otherwise) {
  return ns == 0 ? otherwise : DurationFrom(field, ns);
}

absl::Status ReadTimes(const plimsoll_client_options& in, ClientOptions& out) {
  const auto call = OrDefault("call_timeout_ns", in.call_timeout_ns, out.call_timeout);
  if (!call.ok()) return call.status();
  const auto connect = OrDefault("connect_timeout_ns", in.connect_timeout_ns, out.connect_timeout);
  if (!connect.ok()) return connect.status();
  const auto retry = DurationFrom("retry_ns", in.retry_ns);
  if (!retry.ok()) return retry.status();
  out.call_timeout = *call;
  out.connect_timeout = *connect;
  out.retry_for = *retry;
  return absl::OkStatus();
}

absl::StatusOr<SafeCapacityOptions> SafeFrom(const plimsoll_client_options& in) {
  if (in.safe_requests < 0) return BadField("safe_requests", in.safe_requests, "0 or more");
  if (in.safe_blocks < 0 || in.safe_blocks > int64_t{1} << 40) {
    return BadField("safe_blocks", in.safe_blocks, "0 to 2^40");
  }
  SafeCapacityOptions out{.requests = in.safe_requests, .blocks = Blocks(in.safe_blocks)};
  if (in.safe_block_tokens == 0) return out;
  const absl::StatusOr<Tokens> tokens = TokensFrom("safe_block_tokens", in.safe_block_tokens, 1);
  if (!tokens.ok()) return tokens.status();
  out.block_tokens = *tokens;
  return out;
}

ClientSecurity SecurityFrom(const plimsoll_client_options& in) {
  return {.tls = in.tls != 0,
          .ca = TextOf(in.ca),
          .certificate = TextOf(in.certificate),
          .key = TextOf(in.key),
          .token_file = TextOf(in.token_file),
          .token = TextOf(in.token),
          .insecure = in.insecure != 0};
}

plimsoll_code CodeOf(const LostReservation& lost) {
  if (lost.no_room) return PLIMSOLL_RESOURCE_EXHAUSTED;
  return lost.stale_epoch ? PLIMSOLL_FAILED_PRECONDITION : PLIMSOLL_NOT_FOUND;
}

absl::Status Open(const plimsoll_client_options* options, plimsoll_client** client) {
  if (client == nullptr) return NullArgument("client");
  const absl::StatusOr<plimsoll_client_options> in = In("options", options);
  if (!in.ok()) return in.status();
  HolderOptions out;
  if (in->server != nullptr) out.client.server = TextOf(in->server);
  PLIMSOLL_RETURN_IF_ERROR(ReadTimes(*in, out.client));
  const absl::StatusOr<SafeCapacityOptions> safe = SafeFrom(*in);
  if (!safe.ok()) return safe.status();
  out.safe = *safe;
  out.client.security = SecurityFrom(*in);
  out.client.retry_waits = in->retry_waits != 0;
  out.session = in->session != 0;
  if (in->on_lost != nullptr) {
    out.on_lost = [hear = in->on_lost, context = in->on_lost_context](const LostReservation& lost) {
      hear(context, lost.id.c_str(), CodeOf(lost), Describe(lost).c_str());
    };
  }
  absl::StatusOr<std::unique_ptr<ReservationHolder>> made = ReservationHolder::Create(out);
  if (!made.ok()) return made.status();
  *client = Clients::All().Add(*std::move(made));
  return absl::OkStatus();
}

// As With, where `use` returns a StatusOr<Answer>.
template <class Use>
plimsoll_code WithAnswer(plimsoll_client* token, plimsoll_answer* answer, plimsoll_text* error,
                         const Use& use) {
  return With(token, error, [&](ReservationHolder& holder) -> absl::Status {
    PLIMSOLL_RETURN_IF_ERROR(CheckOut("answer", answer));
    const absl::StatusOr<Answer> value = use(holder);
    if (value.ok()) Out(Shown(*value), answer);
    return value.status();
  });
}

absl::Status ReserveAsync(ReservationHolder& holder, const plimsoll_request* request,
                          int64_t max_wait_ns, plimsoll_answer_callback done, void* context) {
  if (done == nullptr) return NullArgument("done");
  const absl::StatusOr<ReservationRequest> in = RequestFrom(request);
  if (!in.ok()) return in.status();
  const absl::StatusOr<Duration> max_wait = DurationFrom("max_wait_ns", max_wait_ns);
  if (!max_wait.ok()) return max_wait.status();
  holder.ReserveAsync(*in, *max_wait, [done, context](const absl::StatusOr<Answer>& answer) {
    const std::string line(answer.status().message());
    plimsoll_answer shown{};
    if (answer.ok()) shown = Shown(*answer);
    shown.struct_size = sizeof shown;
    done(context, static_cast<plimsoll_code>(answer.status().code()),
         answer.ok() ? &shown : nullptr, line.c_str());
  });
  return absl::OkStatus();
}

absl::StatusOr<Answer> Renew(ReservationHolder& holder, const std::string& id) {
  const absl::StatusOr<Reservation> renewed = holder.Renew(id);
  if (!renewed.ok()) return renewed.status();
  return Answer(*renewed);
}

plimsoll_capacity CapacityOf(const CapacityReport& report) {
  plimsoll_capacity out{};
  CopyText(report.pool, out.pool);
  CopyText(report.epoch, out.epoch);
  out.block_tokens = report.block_tokens.value();
  out.block_bytes = report.block_bytes.value();
  const AdmissionSnapshot& snapshot = report.snapshot;
  SetCounts(snapshot, out);
  out.total_blocks = snapshot.blocks.total.value();
  out.live_blocks = snapshot.blocks.live.value();
  out.cached_blocks = snapshot.blocks.cached.value();
  out.reserved_blocks = snapshot.blocks.reserved.value();
  out.free_blocks = snapshot.blocks.free.value();
  return out;
}

absl::Status Info(ReservationHolder& holder, plimsoll_text* info) {
  if (info == nullptr) return NullArgument("info");
  const absl::StatusOr<ServerInfo> its = holder.client().GetServerInfo();
  if (!its.ok()) return its.status();
  const nlohmann::ordered_json json = {
      {"version", its->version},
      {"epoch", its->epoch},
      {"mode", its->mode == ServerMode::kEngine ? "engine" : "ledger"},
      {"model", its->model},
      {"device", its->device}};
  if (WriteText(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), info)) {
    return absl::OkStatus();
  }
  return absl::OutOfRangeError("info.capacity=" + std::to_string(info->capacity) + ": want " +
                               std::to_string(info->length + 1));
}

}  // namespace
}  // namespace plimsoll::c_interface

using namespace plimsoll::c_interface;  // NOLINT: what follows is C
using plimsoll::Answer;
using plimsoll::Duration;
using plimsoll::ReservationHolder;
using plimsoll::ReservationRequest;
using plimsoll::Tokens;

uint32_t plimsoll_client_version(void) { return Version(); }
const char* plimsoll_client_code_name(plimsoll_code code) { return CodeName(code); }
const char* plimsoll_client_reason_name(int32_t reason) { return ReasonName(reason); }

plimsoll_code plimsoll_client_open(const plimsoll_client_options* options, plimsoll_client** client,
                                   plimsoll_text* error) {
  return Call(error, [&] { return Open(options, client); });
}

plimsoll_code plimsoll_client_close(plimsoll_client* client, plimsoll_text* error) {
  return Call(error, [&]() -> absl::Status {
    const std::shared_ptr<ReservationHolder> holder = Clients::All().Remove(client);
    if (!holder) return absl::InvalidArgumentError("client: null, closed or no client");
    // Not left to its destructor: a call of another thread keeps it alive, and is what this ends.
    holder->Close();
    return absl::OkStatus();
  });
}

plimsoll_code plimsoll_client_reserve(plimsoll_client* client, const plimsoll_request* request,
                                      int64_t max_wait_ns, plimsoll_answer* answer,
                                      plimsoll_text* error) {
  return WithAnswer(client, answer, error,
                    [&](ReservationHolder& holder) -> absl::StatusOr<Answer> {
                      const absl::StatusOr<ReservationRequest> in = RequestFrom(request);
                      if (!in.ok()) return in.status();
                      const auto max_wait = DurationFrom("max_wait_ns", max_wait_ns);
                      if (!max_wait.ok()) return max_wait.status();
                      return holder.Reserve(*in, *max_wait);
                    });
}

plimsoll_code plimsoll_client_reserve_async(plimsoll_client* client,
                                            const plimsoll_request* request, int64_t max_wait_ns,
                                            plimsoll_answer_callback done, void* context,
                                            plimsoll_text* error) {
  return With(client, error, [&](ReservationHolder& holder) {
    return ReserveAsync(holder, request, max_wait_ns, done, context);
  });
}

plimsoll_code plimsoll_client_can_admit(plimsoll_client* client, const plimsoll_request* request,
                                        plimsoll_answer* answer, plimsoll_text* error) {
  return WithAnswer(client, answer, error,
                    [&](ReservationHolder& holder) -> absl::StatusOr<Answer> {
                      const absl::StatusOr<ReservationRequest> in = RequestFrom(request);
                      if (!in.ok()) return in.status();
                      return holder.client().CanAdmit(*in);
                    });
}

plimsoll_code plimsoll_client_extend(plimsoll_client* client, const char* reservation_id,
                                     int64_t total_tokens, plimsoll_answer* answer,
                                     plimsoll_text* error) {
  return WithAnswer(client, answer, error,
                    [&](ReservationHolder& holder) -> absl::StatusOr<Answer> {
                      const auto total = TokensFrom("total_tokens", total_tokens, 1);
                      if (!total.ok()) return total.status();
                      return holder.Extend(TextOf(reservation_id), *total);
                    });
}

plimsoll_code plimsoll_client_renew(plimsoll_client* client, const char* reservation_id,
                                    plimsoll_answer* answer, plimsoll_text* error) {
  return WithAnswer(client, answer, error, [&](ReservationHolder& holder) {
    return Renew(holder, TextOf(reservation_id));
  });
}

plimsoll_code plimsoll_client_release(plimsoll_client* client, const char* reservation_id,
                                      int64_t used_tokens, plimsoll_text* error) {
  return With(client, error, [&](ReservationHolder& holder) -> absl::Status {
    if (used_tokens == -1) return holder.Release(TextOf(reservation_id));
    const absl::StatusOr<Tokens> used = TokensFrom("used_tokens", used_tokens, 0);
    if (!used.ok()) return used.status();
    return holder.Release(TextOf(reservation_id), *used);
  });
}

plimsoll_code plimsoll_client_holds(plimsoll_client* client, const char* reservation_id,
                                    int32_t* holds, plimsoll_text* error) {
  return With(client, error, [&](ReservationHolder& holder) -> absl::Status {
    if (holds == nullptr) return NullArgument("holds");
    *holds = holder.Holds(TextOf(reservation_id)) ? 1 : 0;
    return absl::OkStatus();
  });
}

plimsoll_code plimsoll_client_get_capacity(plimsoll_client* client, plimsoll_capacity* capacity,
                                           plimsoll_text* error) {
  return With(client, error, [&](ReservationHolder& holder) -> absl::Status {
    PLIMSOLL_RETURN_IF_ERROR(CheckOut("capacity", capacity));
    const auto report = holder.client().GetCapacity();
    if (report.ok()) Out(CapacityOf(*report), capacity);
    return report.status();
  });
}

plimsoll_code plimsoll_client_server_info(plimsoll_client* client, plimsoll_text* info,
                                          plimsoll_text* error) {
  return With(client, error, [&](ReservationHolder& holder) { return Info(holder, info); });
}
