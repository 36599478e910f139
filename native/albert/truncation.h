// Which tokens of a text or pair stay when there is a limit, and which windows the rest makes.
#pragma once

#include <vector>

#include "tokenizer.h"

namespace albert {

// Tokens [begin, end) of one text.
struct Window {
  size_t begin, end;
};

// The windows of each text: the first is what stays, the others, where they were asked for, what was cut off.
struct WindowPlan {
  std::vector<Window> first, second;
};

// `first` and `second` are numbers of tokens, `special` that of the special ones around them. Throws
// Error{kTooLong} and Error{kInvalidArgument} as Tokenizer::encode says.
WindowPlan plan_windows(size_t first, size_t second, bool has_pair, size_t special,
                        const EncodeOptions& options);

}  // namespace albert
