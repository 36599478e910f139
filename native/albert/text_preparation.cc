// Prepares a text in one pass over its UTF-16 units, with a short way for ASCII.
#include "text_preparation.h"

#include "unicode.h"

namespace albert {
namespace {

constexpr char32_t kCapitalSigma = 0x3A3;
constexpr std::string_view kFinalSigma = "\xCF\x82";

// Appends one character that is neither ASCII nor a space to remove.
class CharacterWriter {
 public:
  CharacterWriter(const Preparation& preparation, size_t begin, MappedText* out)
      : preparation_(preparation), begin_(begin), out_(out) {}

  void write(char32_t c, Span span) {
    if (preparation_.keep_accents) return write_cased(c, span);
    char32_t parts[unicode::kMaxDecomposition];
    const int count = tables_.decompose(c, unicode::Form::kCompatibility, parts);
    for (int i = 0; i < count; ++i) {
      if (!tables_.has(parts[i], unicode::kCombining)) write_cased(parts[i], span);
      // A dropped accent belongs to the letter before it, so that offsets cover whole characters.
      else if (out_->size() > begin_ && out_->bytes()[out_->size() - 1] != ' ')
        out_->extend_last(span.end);
    }
  }

  void finish() { resolve_final_sigmas(begin_, sigmas_, out_); }

 private:
  void write_cased(char32_t c, Span span) {
    if (!preparation_.do_lower_case) return out_->append(c, span);
    if (c == kCapitalSigma) sigmas_.push_back(out_->size());
    char32_t lowered[unicode::kMaxLower];
    const int count = tables_.lower(c, lowered);
    for (int i = 0; i < count; ++i) out_->append(lowered[i], span);
  }

  const unicode::Tables& tables_ = unicode::Tables::get();
  const Preparation& preparation_;
  const size_t begin_;
  MappedText* out_;
  std::vector<size_t> sigmas_;
};

bool is_quote(std::u16string_view text, size_t at) {
  return (text[at] == '`' || text[at] == '\'') && at + 1 < text.size() && text[at + 1] == text[at];
}

}  // namespace

void prepare_text(std::u16string_view text, int32_t offset, const Preparation& preparation, MappedText* out) {
  const size_t begin = out->size();
  CharacterWriter writer(preparation, begin, out);
  out->reserve_more(text.size() + text.size() / 8 + 8);
  bool started = false;  // past leading whitespace
  size_t space = 0;      // where the run of whitespace that ends at `at` begins
  for (size_t at = 0; at < text.size();) {
    int length = 1;
    const char32_t c = text[at] < 0x80 ? text[at] : unicode::decode_utf16(text, at, &length);
    const auto start = static_cast<int32_t>(offset + at);
    if (preparation.remove_space && unicode::is_python_space(c)) {
      at += static_cast<size_t>(length);
      continue;
    }
    out->reserve_more(2);
    if (preparation.remove_space && started && space < at)
      out->push(' ', {static_cast<int32_t>(offset + space), start});
    if (preparation.rewrite_quotes && c < 0x80 && is_quote(text, at)) {
      length = 2;
      out->push('"', {start, start + 2});
    } else if (c < 0x80) {
      const bool capital = c >= 'A' && c <= 'Z' && preparation.do_lower_case;
      out->push(static_cast<char>(capital ? c + ('a' - 'A') : c), {start, start + 1});
    } else {
      writer.write(c, {start, start + length});
    }
    started = true;
    space = at += static_cast<size_t>(length);
  }
  writer.finish();
}

void resolve_final_sigmas(size_t begin, const std::vector<size_t>& positions, MappedText* out) {
  const unicode::Tables& tables = unicode::Tables::get();
  for (const size_t position : positions) {
    bool cased_before = false;
    for (size_t at = position; at > begin;) {
      const size_t end = at;
      while (--at > begin && unicode::is_continuation(out->bytes()[at])) continue;
      size_t length = 0;
      const uint8_t properties = tables.properties(unicode::decode_utf8(out->view(at, end), &length));
      if (properties & unicode::kCaseIgnorable) continue;
      cased_before = properties & unicode::kCased;
      break;
    }
    bool cased_after = false;
    for (size_t at = position + kFinalSigma.size(), length = 0; cased_before && at < out->size();
         at += length) {
      const uint8_t properties = tables.properties(unicode::decode_utf8(out->view(at, out->size()), &length));
      if (properties & unicode::kCaseIgnorable) continue;
      cased_after = properties & unicode::kCased;
      break;
    }
    if (cased_before && !cased_after) out->mutable_bytes()[position + 1] = kFinalSigma[1];
  }
}

}  // namespace albert
