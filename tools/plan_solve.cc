#include "tools/plan_solve.h"

#include <algorithm>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "tools/grouped_number.h"
#include "tools/plan_report.h"

namespace plimsoll {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMostSequencesAsked = 256;  // where nobody says for how many

// The one load that is asked about: the model's own context unless another is given.
absl::StatusOr<WantedLoad> WantedBy(const PlanRequest& request, const SolveQuestion& question) {
  if (request.options.contexts.size() > 1) {
    return absl::InvalidArgumentError("context: give one with --solve " + question.what);
  }
  if (question.sequences.size() > 1) {
    return absl::InvalidArgumentError("sequences: give one with --solve " + question.what);
  }
  WantedLoad wanted{.sequences = 1, .context = request.model.max_context};
  if (!request.options.contexts.empty()) wanted.context = request.options.contexts[0];
  if (!question.sequences.empty()) wanted.sequences = question.sequences[0];
  return wanted;
}

SolveAnswer AnswerTo(const PlanRequest& request, const std::string& what) {
  SolveAnswer answer{.found = false,
                     .sentence = {},
                     .table = {},
                     .json = {{"question", what}, {"answer", nullptr}, {"sentence", nullptr}},
                     .options = request.options};
  answer.json["rows"] = Json::array();
  return answer;
}

Json WantedJson(const WantedLoad& wanted) {
  return {{"sequences", wanted.sequences}, {"context", wanted.context.value()}};
}

absl::StatusOr<SolveAnswer> SolveSequences(const PlanRequest& request) {
  const absl::StatusOr<InferencePlan> plan = PlanInference(request.model, request.options);
  if (!plan.ok()) return plan.status();
  SolveAnswer answer = AnswerTo(request, "sequences");
  answer.table = {{"context", "sequences"}};
  int64_t most = 0;
  for (const ContextCapacity& row : plan->max_sequences) {
    answer.table.push_back({Grouped(row.context.value()), Grouped(row.sequences)});
    answer.json["rows"].push_back({{"context", row.context.value()}, {"sequences", row.sequences}});
    most = std::max(most, row.sequences);
  }
  answer.found = most > 0;
  if (answer.found) answer.json["answer"] = plan->max_sequences.front().sequences;
  answer.sentence = AnswerSentence({.plan = *plan, .counts = CountsOf(request.model)});
  return answer;
}

std::vector<int64_t> SequencesAsked(const SolveQuestion& question) {
  if (!question.sequences.empty()) return question.sequences;
  std::vector<int64_t> asked;
  for (int64_t n = 1; n <= kMostSequencesAsked; n *= 2) asked.push_back(n);
  return asked;
}

absl::StatusOr<SolveAnswer> SolveContext(const PlanRequest& request,
                                         const SolveQuestion& question) {
  SolveAnswer answer = AnswerTo(request, "context");
  answer.table = {{"sequences", "longest context"}};
  for (const int64_t sequences : SequencesAsked(question)) {
    const auto longest = LongestContext(request.model, request.options, sequences);
    if (!longest.ok()) return longest.status();
    answer.table.push_back({Grouped(sequences), Grouped(longest->value())});
    answer.json["rows"].push_back({{"sequences", sequences}, {"context", longest->value()}});
  }
  const Json& first = answer.json["rows"][0];
  const auto context = first["context"].get<int64_t>();
  const auto sequences = first["sequences"].get<int64_t>();
  answer.found = context > 0;
  if (answer.found) answer.json["answer"] = context;
  const bool whole = Tokens(context) == request.model.max_context;
  answer.sentence = answer.found
                        ? "The longest context of " + Grouped(sequences) +
                              (sequences == 1 ? " sequence is " : " sequences is ") +
                              Grouped(context) + " tokens" + (whole ? ", the model's own." : ".")
                        : "Not one token of " + Grouped(sequences) +
                              (sequences == 1 ? " sequence" : " sequences") + " fits.";
  return answer;
}

// What differs between the searches for a type of weights and for one of K and V.
struct TypeQuestion {
  std::string what, name, bytes_of;
  absl::StatusOr<std::vector<TypeTried>> tried;
};

// `set` puts a type's name into the options.
absl::StatusOr<SolveAnswer> SolveType(const PlanRequest& request, const WantedLoad& wanted,
                                      const TypeQuestion& question,
                                      void (*set)(const std::string&, InferenceOptions&)) {
  if (!question.tried.ok()) return question.tried.status();
  SolveAnswer answer = AnswerTo(request, question.what);
  answer.json["wanted"] = WantedJson(wanted);
  answer.table = {{question.name, question.bytes_of, "size", "sequences", "enough"}};
  for (const TypeTried& type : *question.tried) {
    answer.table.push_back({type.type, Grouped(type.bytes.value()), FormatSize(type.bytes),
                            Grouped(type.sequences), type.holds ? "yes" : "no"});
    answer.json["rows"].push_back({{"type", type.type},
                                   {"bytes", type.bytes.value()},
                                   {"sequences", type.sequences},
                                   {"holds", type.holds}});
    if (answer.found || !type.holds) continue;
    answer.found = true;
    answer.json["answer"] = type.type;
    set(type.type, answer.options);
    answer.sentence = "The widest " + question.name + " with room for " + LoadText(wanted) + ": " +
                      type.type + ".";
  }
  if (!answer.found) {
    answer.sentence = "No " + question.name + " is narrow enough for " + LoadText(wanted) + ".";
  }
  return answer;
}

absl::StatusOr<SolveAnswer> SolveWeights(const PlanRequest& request, const WantedLoad& wanted) {
  return SolveType(request, wanted,
                   {.what = "weights",
                    .name = "type of weights",
                    .bytes_of = "bytes",
                    .tried = TryWeights(request.model, request.options, wanted)},
                   [](const std::string& type, InferenceOptions& options) {
                     options.weights =
                         type == kAsStored ? std::nullopt : WeightFormatFromName(type);
                   });
}

absl::StatusOr<SolveAnswer> SolveKv(const PlanRequest& request, const WantedLoad& wanted) {
  return SolveType(request, wanted,
                   {.what = "kv",
                    .name = "type of K and V",
                    .bytes_of = "bytes of a token",
                    .tried = TryKv(request.model, request.options, wanted)},
                   [](const std::string& type, InferenceOptions& options) {
                     options.kv = ElementTypeFromName(type);
                   });
}

std::string SplitText(const GpuSplit& split) {
  return "tensor parallel " + Grouped(split.tensor_parallel) + ", pipeline parallel " +
         Grouped(split.pipeline_parallel);
}

Json SplitJson(const GpuSplit& split) {
  return {{"gpus", split.gpus},
          {"tensor_parallel", split.tensor_parallel},
          {"pipeline_parallel", split.pipeline_parallel},
          {"sequences", split.sequences}};
}

std::string GpusText(int64_t count, const std::string& name) {
  return Grouped(count) + (name.empty() ? "" : " x " + name) +
         (name.empty() ? (count == 1 ? " GPU" : " GPUs") : "");
}

void SetSplit(const PlanRequest& request, const GpuSplit& split, SolveAnswer& answer) {
  answer.found = true;
  answer.json["answer"] = split.gpus;
  answer.options.tensor_parallel = split.tensor_parallel;
  answer.options.pipeline_parallel = split.pipeline_parallel;
  if (request.gpu) {
    answer.options = WithRuntimeOf(*request.gpu, request.model, std::move(answer.options));
  }
}

absl::StatusOr<SolveAnswer> SolveGpus(const PlanRequest& request, const WantedLoad& wanted) {
  const auto search = FewestGpus(request.model, request.options, wanted, request.gpu);
  if (!search.ok()) return search.status();
  SolveAnswer answer = AnswerTo(request, "gpus");
  answer.json["wanted"] = WantedJson(wanted);
  answer.table = {{"GPUs", "tensor", "pipeline", "sequences"}};
  for (const GpuSplit& split : search->best) {
    answer.table.push_back({Grouped(split.gpus), Grouped(split.tensor_parallel),
                            Grouped(split.pipeline_parallel), Grouped(split.sequences)});
    answer.json["rows"].push_back(SplitJson(split));
  }
  if (search->holds) {
    const GpuSplit& split = search->best.back();
    SetSplit(request, split, answer);
    const std::string name = request.gpu ? std::string(request.gpu->name) : "";
    answer.sentence = GpusText(split.gpus, name) + " (" + SplitText(split) + ") have room for " +
                      LoadText(wanted) + ".";
  } else {
    answer.sentence =
        "Not even " + Grouped(kMostGpus) + " GPUs have room for " + LoadText(wanted) + ".";
  }
  return answer;
}

absl::StatusOr<SolveAnswer> SolveWhichGpus(const PlanRequest& request, const WantedLoad& wanted) {
  const auto choices = GpusThatHold(request.model, request.options, wanted);
  if (!choices.ok()) return choices.status();
  SolveAnswer answer = AnswerTo(request, "gpus");
  answer.json["wanted"] = WantedJson(wanted);
  answer.table = {{"GPU", "memory", "GPUs", "tensor", "pipeline", "sequences"}};
  for (const GpuChoice& choice : *choices) {
    const std::string name(choice.gpu.name);
    answer.table.push_back({name, FormatSize(choice.gpu.memory()), Grouped(choice.split.gpus),
                            Grouped(choice.split.tensor_parallel),
                            Grouped(choice.split.pipeline_parallel),
                            Grouped(choice.split.sequences)});
    Json row = {{"gpu", name}, {"memory_bytes", choice.gpu.memory().value()}};
    row.update(SplitJson(choice.split));
    answer.json["rows"].push_back(std::move(row));
  }
  if (choices->empty()) {
    answer.sentence = "No GPU in the catalogue has room for " + LoadText(wanted) + ", not even " +
                      Grouped(kMostOfOneKind) + " of one kind.";
    return answer;
  }
  const GpuChoice& first = choices->front();
  PlanRequest named = request;
  named.gpu = first.gpu;
  answer.options.device_bytes = first.gpu.memory();
  SetSplit(named, first.split, answer);
  answer.sentence = "The smallest with room for " + LoadText(wanted) + ": " +
                    GpusText(first.split.gpus, std::string(first.gpu.name)) + ".";
  return answer;
}

absl::StatusOr<SolveAnswer> SolveForLoad(const PlanRequest& request,
                                         const SolveQuestion& question) {
  const absl::StatusOr<WantedLoad> wanted = WantedBy(request, question);
  if (!wanted.ok()) return wanted.status();
  if (question.what == "weights") return SolveWeights(request, *wanted);
  if (question.what == "kv") return SolveKv(request, *wanted);
  const bool device = request.options.device_bytes > Bytes(0);
  return device ? SolveGpus(request, *wanted) : SolveWhichGpus(request, *wanted);
}

}  // namespace

absl::StatusOr<SolveAnswer> Solve(const PlanRequest& request, const SolveQuestion& question) {
  absl::StatusOr<SolveAnswer> answer = question.what == "sequences" ? SolveSequences(request)
                                       : question.what == "context"
                                           ? SolveContext(request, question)
                                           : SolveForLoad(request, question);
  if (answer.ok()) answer->json["sentence"] = answer->sentence;
  return answer;
}

std::string SolveAsText(const SolveAnswer& answer) {
  if (answer.table.size() < 2) return answer.sentence + "\n";
  const std::string& cell = answer.table[1][0];
  const bool number = cell.find_first_not_of("0123456789,") == std::string::npos;
  return answer.sentence + "\n\n" +
         TextTable(answer.table, number ? FirstColumn::kNumbers : FirstColumn::kNames);
}

}  // namespace plimsoll
