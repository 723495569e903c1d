#include "tools/plan_report.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "kvcache/base/size_text.h"
#include "tools/capacity_chart.h"
#include "tools/checkpoint_report.h"
#include "tools/counts_report.h"
#include "tools/grouped_number.h"
#include "tools/stage_table.h"
#include "tools/text_table.h"

namespace plimsoll {
namespace {

constexpr size_t kColumns = 100;
constexpr Tokens kUsualContext = Tokens(8192);  // what the first sentence speaks of, where it can

// The row for the longest context up to the usual one, else the first; null without rows.
const ContextCapacity* UsualRow(const InferencePlan& plan) {
  const ContextCapacity* usual = nullptr;
  for (const ContextCapacity& row : plan.max_sequences) {
    const bool longer = usual == nullptr || row.context > usual->context;
    if (usual == nullptr || (longer && row.context <= kUsualContext)) usual = &row;
  }
  return usual;
}

// `text` after `indent` blanks, broken between words so that no line is longer than it must be.
std::string Wrapped(std::string_view text, size_t indent) {
  std::string out(indent, ' ');
  size_t column = indent;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    if (column > indent && column + 1 + word.size() > kColumns) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    }
    const bool first = column == indent;
    out += (first ? "" : " ") + std::string(word);
    column += word.size() + (first ? 0 : 1);
    text.remove_prefix(std::min(word.size() + 1, text.size()));
  }
  return out + "\n";
}

// A formula that does not fit behind the figures has lines of its own beneath them.
std::string Row(const std::string& term, Bytes bytes, Bytes budget, const std::string& formula) {
  const double share = 100.0 * static_cast<double>(bytes.value()) /
                       static_cast<double>(std::max<int64_t>(budget.value(), 1));
  const std::string figures = absl::StrFormat("  %-14s %19s %10s %6.2f%%", term,
                                              Grouped(bytes.value()), FormatSize(bytes), share);
  if (figures.size() + 2 + formula.size() <= kColumns) return figures + "  " + formula + "\n";
  return figures + "\n" + Wrapped(formula, 6);
}

// "  left out: prediction block (11,610,067,968 elements), vision tower"
std::string LeftOutLine(const InferencePlan& plan) {
  std::string line;
  for (const LeftOut& left : plan.left_out) {
    line += line.empty() ? "left out: " : ", ";
    line += left.part;
    if (left.elements) line += " (" + Grouped(*left.elements) + " elements)";
  }
  return line.empty() ? "" : Wrapped(line, 2);
}

std::string KvLine(const InferencePlan& plan) {
  std::string line = "K and V of one token: " + FormatSize(plan.kv_bytes_per_token);
  if (plan.window_bytes_per_sequence > Bytes(0)) {
    line += absl::StrFormat("; %s once the windows are full, which take %s of each sequence",
                            FormatSize(plan.kv_bytes_per_token_long),
                            FormatSize(plan.window_bytes_per_sequence));
  }
  if (plan.state_bytes_per_sequence > Bytes(0)) {
    line += "; state of each sequence: " + FormatSize(plan.state_bytes_per_sequence);
  }
  return Wrapped(line, 2);
}

// "one of 8 GPUs: tensor parallel 4, pipeline parallel 2, of which stage 2 has the fewest blocks"
std::string DeploymentLines(const InferencePlan& plan) {
  std::string out;
  if (plan.gpus > 1) {
    std::string line =
        absl::StrFormat("one of %d GPUs: tensor parallel %d", plan.gpus, plan.tensor_parallel);
    if (plan.pipeline_parallel > 1) {
      line += absl::StrFormat(", pipeline parallel %d, of which stage %d binds",
                              plan.pipeline_parallel, plan.stage + 1);
    }
    if (plan.expert_parallel > 1) {
      line += absl::StrFormat(", expert parallel %d", plan.expert_parallel);
    }
    if (plan.replicas > 1) line += absl::StrFormat(", one of %d replicas", plan.replicas);
    out += Wrapped(line, 2);
  }
  if (!plan.draft_name.empty()) {
    out += Wrapped(absl::StrFormat("drafted by %s, %d tokens ahead", plan.draft_name,
                                   plan.lookahead_tokens.value()),
                   2);
  }
  if (plan.shared_prefix > Tokens(0)) {
    out += absl::StrFormat("  first %s tokens shared by all sequences\n",
                           Grouped(plan.shared_prefix.value()));
  }
  return out;
}

// Where kernels lay weights out anew and then need less than what is stored.
std::string ResidentLine(const InferencePlan& plan) {
  if (plan.weights_resident_bytes == plan.weights_bytes) return "";
  return Wrapped("weights: " + Grouped(plan.weights_bytes.value()) + " bytes stored and counted, " +
                     Grouped(plan.weights_resident_bytes.value()) +
                     " resident where kernels lay them out anew",
                 2);
}

std::string Header(const InferencePlan& plan) {
  std::string active;
  if (plan.parameters_active != plan.parameters) {
    active = " (" + Grouped(plan.parameters_active) + " for one token)";
  }
  const std::string model = absl::StrFormat(
      "%s parameters%s, %d layers, weights in %s, K and V in %s", Grouped(plan.parameters), active,
      plan.layers, plan.weights_format, std::string(NameOf(plan.kv_type)));
  return absl::StrFormat("%s (%s)\n", plan.name, plan.architecture) + Wrapped(model, 2) +
         KvLine(plan) + ResidentLine(plan) + DeploymentLines(plan) + LeftOutLine(plan) + "\n";
}

std::string CountsBlock(const StoredCounts& counts) {
  std::string out = "\nCounted\n";
  for (const std::string& line : CountLines(counts)) out += Wrapped(line, 2);
  return out;
}

std::string CheckpointBlock(const StoredCheckpoint& checkpoint) {
  std::string out = "\nIn the files\n";
  for (const std::string& line : CheckpointLines(checkpoint)) out += Wrapped(line, 2);
  return out;
}

std::string TermTable(const InferencePlan& plan) {
  std::string out =
      absl::StrFormat("  %-14s %19s %10s %7s  %s\n", "term", "bytes", "size", "share", "formula");
  for (const PlanTerm& term : plan.formulas) {
    out += Row(term.term, term.bytes, plan.budget_bytes, term.formula);
  }
  if (plan.margin_bytes > Bytes(0)) {
    out += Row("margin", plan.margin_bytes, plan.budget_bytes, "as given");
  }
  out += Row("unused", plan.unused_bytes, plan.budget_bytes, "less than one block");
  out += Row("budget", plan.budget_bytes, plan.budget_bytes,
             absl::StrFormat("%s bytes of the device x %g", Grouped(plan.device_bytes.value()),
                             plan.utilization));
  return out;
}

// Where layers have windows, a pool that keeps only those holds more: a column of its own.
std::string SequencesTable(const InferencePlan& plan) {
  const bool grouped =
      std::any_of(plan.max_sequences.begin(), plan.max_sequences.end(),
                  [](const ContextCapacity& row) { return row.sequences_grouped > row.sequences; });
  std::vector<TextRow> rows = {{"context", "sequences"}};
  if (grouped) rows.front().emplace_back("keeping only windows");
  for (const ContextCapacity& row : plan.max_sequences) {
    rows.push_back({Grouped(row.context.value()), Grouped(row.sequences)});
    if (grouped) rows.back().push_back(Grouped(row.sequences_grouped));
  }
  return TextTable(rows, FirstColumn::kNumbers);
}

std::string Capacity(const InferencePlan& plan) {
  return absl::StrFormat("\n%s blocks of %d tokens (%s each): %s tokens; longest context %s\n\n",
                         Grouped(plan.blocks.value()), plan.block_tokens.value(),
                         FormatSize(plan.block_bytes), Grouped(plan.tokens.value()),
                         Grouped(plan.longest_context.value())) +
         SequencesTable(plan);
}

std::string NearestSettings(const std::vector<FitSetting>& fits) {
  std::string out = fits.empty() ? "" : "\nWhat would fit:\n";
  for (const FitSetting& fit : fits) {
    out += absl::StrFormat("  %-44s %s %s\n", fit.setting, Grouped(fit.blocks.value()),
                           fit.blocks == Blocks(1) ? "block" : "blocks");
  }
  return out;
}

std::string TextbookBlock(const TextbookErrors& textbook, const InferencePlan& plan) {
  std::string out = "\nBy the textbook\n";
  if (textbook.parameters) {
    out +=
        Wrapped(absl::StrFormat("parameters, hV + L(12h^2 + 13h) + 2h: %s, %+.1f%% of the exact %s",
                                Grouped(*textbook.parameters), textbook.parameters_error,
                                Grouped(plan.parameters)),
                2);
  }
  return out +
         Wrapped(absl::StrFormat(
                     "serving, 1.5 to 2.5 times the weights: %s to %s; itemised for %s: %s, %.2f "
                     "times the weights (the rule is off by %+.0f%% to %+.0f%%)",
                     FormatSize(textbook.serving_least_bytes),
                     FormatSize(textbook.serving_most_bytes), LoadText(textbook.load),
                     FormatSize(textbook.itemised_bytes), textbook.itemised_ratio,
                     textbook.serving_least_error, textbook.serving_most_error),
                 2) +
         Wrapped("vLLM takes about " + FormatSize(textbook.vllm_peak_bytes) +
                     " more while it starts: 38.5 bytes x vocabulary x its default of sequences",
                 2);
}

}  // namespace

std::string LoadText(const WantedLoad& load) {
  return Grouped(load.sequences) + (load.sequences == 1 ? " sequence of " : " sequences of ") +
         Grouped(load.context.value()) + " tokens";
}

std::string AnswerSentence(const PlanReport& report) {
  const InferencePlan& plan = report.plan;
  if (!plan.fits()) {
    return absl::StrFormat(
        "Does not fit: %s bytes (%s) short of the terms and one block of K and V.",
        Grouped(plan.shortfall_bytes.value()), FormatSize(plan.shortfall_bytes));
  }
  if (!report.holds()) {
    return absl::StrFormat("Does not fit: %s are wanted, and the pool holds %s.",
                           LoadText(*report.wanted), Grouped(report.held));
  }
  std::string answer = absl::StrFormat("Fits: %s blocks = %s tokens", Grouped(plan.blocks.value()),
                                       Grouped(plan.tokens.value()));
  if (const ContextCapacity* const row = UsualRow(plan)) {
    answer += "; " + Grouped(row->sequences) + " sequences of " + Grouped(row->context.value());
  }
  return answer + ".";
}

std::string PlanAsText(const PlanReport& report) {
  const InferencePlan& plan = report.plan;
  std::string out =
      AnswerSentence(report) + "\n\n" + Header(plan) + TermTable(plan) + StageTable(plan);
  if (plan.fits()) out += Capacity(plan);
  if (!report.holds()) out += NearestSettings(report.fits);
  if (!report.curves.empty()) out += CapacityChart(report.curves);
  out += CountsBlock(report.counts);
  if (report.checkpoint) out += CheckpointBlock(*report.checkpoint);
  if (report.textbook) out += TextbookBlock(*report.textbook, plan);
  return out;
}

}  // namespace plimsoll
