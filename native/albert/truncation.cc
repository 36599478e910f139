// Truncation with the semantics of truncate_sequences in Hugging Face transformers, windows with those of
// tokenizers.
#include "truncation.h"

#include <algorithm>

#include "support/error.h"

namespace albert {
namespace {

// Windows of `size` tokens, each starting `stride` before the end of the one before it, up to the first that
// reaches the end.
std::vector<Window> windows_of(size_t length, size_t size, const EncodeOptions& options) {
  std::vector<Window> windows{{0, std::min(size, length)}};
  if (!options.return_overflowing || size >= length) return windows;
  const auto stride = static_cast<size_t>(options.stride);
  check(stride < size, ErrorCode::kInvalidArgument, "stride ", stride,
        " leaves no room for new tokens: a window holds ", size,
        " tokens of the truncated text; use a smaller stride or a larger max_length");
  while (windows.back().end < length) {
    const size_t begin = windows.back().begin + size - stride;
    windows.push_back({begin, std::min(begin + size, length)});
  }
  return windows;
}

[[noreturn]] void fail_too_long(const std::string& what, size_t total, int limit) {
  throw Error(ErrorCode::kTooLong,
              str(what, ": the result has ", total, " tokens with the special ones, max_length is ", limit,
                  "; shorten the text or choose another truncation"));
}

}  // namespace

WindowPlan plan_windows(size_t first, size_t second, bool has_pair, size_t special,
                        const EncodeOptions& options) {
  check(options.max_length >= 0 && options.stride >= 0, ErrorCode::kInvalidArgument,
        "max_length and stride must not be negative, they are ", options.max_length, " and ", options.stride);
  const WindowPlan whole{{{0, first}}, {{0, second}}};
  if (options.max_length == 0) return whole;
  const auto limit = static_cast<size_t>(options.max_length);
  check(limit >= special, ErrorCode::kInvalidArgument, "max_length ", limit, " is below the ", special,
        " special tokens of the sequence");
  check(options.stride == 0 || static_cast<size_t>(options.stride) < limit - special,
        ErrorCode::kInvalidArgument, "stride ", options.stride, " is too large: max_length ", limit,
        " leaves ", limit - special, " tokens for the text, and a window must bring new ones");
  const size_t total = first + second + special;
  if (total <= limit) return whole;

  size_t remove = total - limit;
  size_t keep_first = first, keep_second = second;
  switch (has_pair || options.truncation != Truncation::kOnlyFirst ? options.truncation
                                                                   : Truncation::kLongestFirst) {
    case Truncation::kNone:
      fail_too_long("truncation is off", total, options.max_length);
    case Truncation::kOnlyFirst:
      if (remove >= first)
        fail_too_long("the second text alone exceeds the limit", total, options.max_length);
      keep_first -= remove;
      break;
    case Truncation::kOnlySecond:
      check(has_pair, ErrorCode::kInvalidArgument,
            "truncation 'only_second' needs a pair of texts, found one text");
      if (remove >= second)
        fail_too_long("the first text alone exceeds the limit", total, options.max_length);
      keep_second -= remove;
      break;
    case Truncation::kLongestFirst: {
      // One token at a time off the longer text, the second one in a tie; here in two strides.
      const size_t difference = first > second ? first - second : second - first;
      const size_t from_longer = std::min(difference, remove);
      remove -= from_longer;
      const bool first_is_longer = first > second;
      keep_first -= (first_is_longer ? from_longer : 0) + remove / 2;
      keep_second -= (first_is_longer ? 0 : from_longer) + remove - remove / 2;
      break;
    }
  }
  return {windows_of(first, keep_first, options), windows_of(second, keep_second, options)};
}

}  // namespace albert
