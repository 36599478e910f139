// The Tokenizer that puts the parts together: added tokens, a vocabulary's own algorithm, pairs, windows,
// decoding.
#include "tokenizer.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

#include "added_tokens.h"
#include "support/file_map.h"
#include "tokenizer_loader.h"
#include "truncation.h"

namespace albert {
namespace {

// Both texts of a pair cut into windows give every combination; more of them than this is a mistake.
constexpr size_t kMaxWindows = 1 << 16;

// What clean_up_tokenization of Hugging Face transformers does to a decoded text, in its order.
std::string clean_up(std::string text) {
  static constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
      {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) {
    std::string out;
    size_t at = 0;
    for (size_t found; (found = text.find(from, at)) != std::string::npos; at = found + from.size()) {
      out.append(text, at, found - at);
      out += to;
    }
    if (at > 0) text = out.append(text, at, std::string::npos);
  }
  return text;
}

class ComposedTokenizer final : public Tokenizer {
 public:
  ComposedTokenizer(std::unique_ptr<TextTokenizer> text_tokenizer, const TokenizerConfig& config)
      : text_tokenizer_(std::move(text_tokenizer)),
        added_(config, *text_tokenizer_),
        cleans_up_(config.clean_up_tokenization_spaces.value_or(true)) {}

  Encoding encode(const TextInput& input, const EncodeOptions& options) const override {
    check(input.text.size() <= kMaxUnits && input.pair.size() <= kMaxUnits, ErrorCode::kTooLong,
          "a text has more than ", kMaxUnits, " UTF-16 units; split it");
    std::unique_ptr<TokenizerWorkspace> workspace = take_workspace();
    tokenize(input.text, options, workspace.get(), &workspace->first);
    if (input.has_pair) tokenize(input.pair, options, workspace.get(), &workspace->second);
    Encoding encoding = assemble(*workspace, input.has_pair, options);
    return_workspace(std::move(workspace));
    return encoding;
  }

  std::string decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const override;

  int32_t vocabulary_size() const override { return added_.vocabulary_size(); }
  const SpecialTokens& special_tokens() const override { return added_.special_tokens(); }
  bool has_id(int32_t id) const override {
    return added_.find_id(id) || (id >= 0 && static_cast<size_t>(id) < text_tokenizer_->pieces().size());
  }
  std::string id_to_token(int32_t id) const override { return std::string(piece_of(id)); }
  int32_t token_to_id(std::string_view token) const override {
    const AddedToken* added = added_.find_content(token);
    return added ? added->id : text_tokenizer_->find(token);
  }

 private:
  static constexpr size_t kMaxUnits = 1 << 30;

  void tokenize(std::u16string_view text, const EncodeOptions& options, TokenizerWorkspace* workspace,
                TokenList* out) const {
    if (options.split_special_tokens)
      text_tokenizer_->tokenize(text, 0, workspace, out);
    else
      added_.tokenize(text, *text_tokenizer_, workspace, out);
  }

  Encoding assemble(const TokenizerWorkspace& workspace, bool has_pair, const EncodeOptions& options) const;
  Encoding assemble_window(const TokenizerWorkspace& workspace, Window first, Window second, bool has_pair,
                           bool add_special_tokens) const;
  void append(const TokenList& list, Window window, int32_t type, Encoding* out) const;
  void append_special(int32_t id, int32_t type, Encoding* out) const;
  std::string_view piece_of(int32_t id) const;

  std::unique_ptr<TokenizerWorkspace> take_workspace() const {
    std::lock_guard<std::mutex> lock(mutex_);
    if (spare_.empty()) return std::make_unique<TokenizerWorkspace>();
    std::unique_ptr<TokenizerWorkspace> workspace = std::move(spare_.back());
    spare_.pop_back();
    workspace->first.clear();
    workspace->second.clear();
    return workspace;
  }
  void return_workspace(std::unique_ptr<TokenizerWorkspace> workspace) const {
    if (!workspace->is_small()) return;
    std::lock_guard<std::mutex> lock(mutex_);
    spare_.push_back(std::move(workspace));
  }

  std::unique_ptr<TextTokenizer> text_tokenizer_;
  AddedTokens added_;
  bool cleans_up_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<TokenizerWorkspace>> spare_;  // as many as threads have met here
};

std::string_view ComposedTokenizer::piece_of(int32_t id) const {
  check(has_id(id), ErrorCode::kOutOfVocabulary, "token id ", id, " is not in the vocabulary, which has ",
        vocabulary_size(), " tokens");
  if (const AddedToken* added = added_.find_id(id)) return added->content;
  return text_tokenizer_->pieces()[id];
}

void ComposedTokenizer::append(const TokenList& list, Window window, int32_t type, Encoding* out) const {
  for (size_t i = window.begin; i < window.end; ++i) {
    const Token& token = list.tokens[i];
    out->ids.push_back(token.id);
    out->types.push_back(type);
    out->offsets.push_back(token.start);
    out->offsets.push_back(token.end);
    if (token.surface_size > 0)
      out->tokens.emplace_back(list.surfaces, token.surface_begin, token.surface_size);
    else if (static_cast<size_t>(token.id) < text_tokenizer_->pieces().size())
      out->tokens.push_back(text_tokenizer_->pieces()[token.id]);
    else
      out->tokens.emplace_back(piece_of(token.id));
  }
}

void ComposedTokenizer::append_special(int32_t id, int32_t type, Encoding* out) const {
  out->ids.push_back(id);
  out->types.push_back(type);
  out->offsets.insert(out->offsets.end(), 2, 0);
  out->tokens.emplace_back(piece_of(id));
}

Encoding ComposedTokenizer::assemble_window(const TokenizerWorkspace& workspace, Window first, Window second,
                                            bool has_pair, bool add_special_tokens) const {
  Encoding out;
  const size_t count = first.end - first.begin + second.end - second.begin + 3;
  out.ids.reserve(count);
  out.types.reserve(count);
  out.offsets.reserve(2 * count);
  out.tokens.reserve(count);
  const SpecialTokens& special = special_tokens();
  if (add_special_tokens) append_special(special.cls, 0, &out);
  append(workspace.first, first, 0, &out);
  if (add_special_tokens) append_special(special.sep, 0, &out);
  if (!has_pair) return out;
  append(workspace.second, second, 1, &out);
  if (add_special_tokens) append_special(special.sep, 1, &out);
  return out;
}

Encoding ComposedTokenizer::assemble(const TokenizerWorkspace& workspace, bool has_pair,
                                     const EncodeOptions& options) const {
  const SpecialTokens& special = special_tokens();
  check(!options.add_special_tokens || (special.cls >= 0 && special.sep >= 0), ErrorCode::kTokenizer,
        "the vocabulary has no ", special.cls < 0 ? "[CLS]" : "[SEP]",
        " token; name it in tokenizer_config.json or encode with add_special_tokens: false");
  const size_t special_count = options.add_special_tokens ? (has_pair ? 3 : 2) : 0;
  const WindowPlan plan = plan_windows(workspace.first.tokens.size(), workspace.second.tokens.size(),
                                       has_pair, special_count, options);
  check(plan.first.size() * plan.second.size() <= kMaxWindows, ErrorCode::kTooLong, "truncation makes ",
        plan.first.size(), " windows of the first text and ", plan.second.size(),
        " of the second, too many to combine; truncate only one of them");
  Encoding encoding =
      assemble_window(workspace, plan.first[0], plan.second[0], has_pair, options.add_special_tokens);
  // In the order of the Rust tokenizers: the later windows of the first text with every window of the second,
  // then the first window of the first text with the later ones of the second.
  for (size_t i = 1; i <= plan.first.size(); ++i) {
    const bool last_round = i == plan.first.size();
    for (size_t j = last_round ? 1 : 0; j < plan.second.size(); ++j)
      encoding.overflowing.push_back(assemble_window(workspace, plan.first[last_round ? 0 : i],
                                                     plan.second[j], has_pair, options.add_special_tokens));
  }
  return encoding;
}

std::string ComposedTokenizer::decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const {
  std::string text;
  std::vector<TextTokenizer::Part> parts;
  const auto add = [&](std::string_view piece) {
    if (!text.empty() && !piece.empty()) text += ' ';
    text += piece;
  };
  const auto flush = [&] {
    std::string joined = text_tokenizer_->join(parts);
    const size_t begin = joined.find_first_not_of(' ');
    if (begin != std::string::npos)
      add(std::string_view(joined).substr(begin, joined.find_last_not_of(' ') + 1 - begin));
    parts.clear();
  };
  for (size_t i = 0; i < ids.size(); ++i) {
    check(ids[i] >= 0 && ids[i] < vocabulary_size(), ErrorCode::kOutOfVocabulary, "token id ", ids[i],
          " at position ", i, " is not in the vocabulary, which has ", vocabulary_size(), " tokens");
    const AddedToken* added = added_.find_id(ids[i]);
    if (added && added->special && skip_special_tokens) continue;
    if (added && !added->special) {
      flush();
      add(added->content);
    } else {
      parts.push_back({piece_of(ids[i]), added != nullptr});
    }
  }
  flush();
  return cleans_up_ ? clean_up(std::move(text)) : text;
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::load(const TokenizerFiles& files) {
  const auto file = FileMap::open(files.vocabulary_path, ErrorCode::kTokenizer);
  return load_bytes(file->text(), files.vocabulary_path, files);
}

std::unique_ptr<Tokenizer> Tokenizer::load_bytes(std::string_view vocabulary, const std::string& name,
                                                 const TokenizerFiles& files) {
  LoadedTokenizer loaded = load_tokenizer(vocabulary, name, files);
  return std::make_unique<ComposedTokenizer>(std::move(loaded.text_tokenizer), loaded.config);
}

std::vector<Encoding> encode_batch(const Tokenizer& tokenizer, const std::vector<TextInput>& inputs,
                                   const EncodeOptions& options, int threads) {
  // Short runs of inputs, taken in turn, so that a thread with long texts does not hold up the rest.
  constexpr size_t kRun = 16;
  std::vector<Encoding> encodings(inputs.size());
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::exception_ptr error;
  size_t error_at = inputs.size();
  const auto work = [&] {
    for (size_t begin; (begin = next.fetch_add(kRun)) < inputs.size();) {
      for (size_t i = begin; i < std::min(begin + kRun, inputs.size()); ++i) {
        try {
          encodings[i] = tokenizer.encode(inputs[i], options);
        } catch (...) {
          std::lock_guard<std::mutex> lock(mutex);
          if (i < error_at) error_at = i, error = std::current_exception();
          return;
        }
      }
    }
  };
  const size_t runs = (inputs.size() + kRun - 1) / kRun;
  std::vector<std::thread> helpers;
  try {
    for (size_t i = 1; i < std::min<size_t>(std::max(threads, 1), runs); ++i) helpers.emplace_back(work);
  } catch (...) {
    // The system grants no more threads; the ones there are do the work.
  }
  work();
  for (std::thread& helper : helpers) helper.join();
  if (error) std::rethrow_exception(error);
  return encodings;
}

}  // namespace albert
