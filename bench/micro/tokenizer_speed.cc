// Tokens a second of the tokenizer: tokenizer_speed VOCABULARY TEXT_FILE [THREADS] encodes each line, best of some runs.
// Build: g++ -std=c++17 -O2 -Inative bench/micro/tokenizer_speed.cc build/core/libalbert_core.a -lpthread
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "albert/tokenizer.h"
#include "albert/unicode.h"

namespace {

constexpr int kRuns = 7;

template <typename Body>
double seconds(const Body& body) {
  double best = 1e30;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = std::chrono::steady_clock::now();
    body();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) return std::fprintf(stderr, "usage: tokenizer_speed VOCABULARY TEXT_FILE [THREADS]\n"), 2;
  const int threads = argc > 3 ? std::atoi(argv[3]) : 1;
  albert::TokenizerFiles files;
  files.vocabulary_path = argv[1];
  std::unique_ptr<albert::Tokenizer> tokenizer;
  const double load = seconds([&] { tokenizer = albert::Tokenizer::load(files); });

  std::vector<std::u16string> lines;
  std::u16string one_line;
  std::ifstream stream(argv[2]);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(albert::unicode::to_utf16(line));
    if (one_line.size() < (1 << 20)) one_line += lines.back() + u' ';
  }
  std::vector<albert::TextInput> inputs;
  for (const std::u16string& line : lines) inputs.push_back({line, {}, false});

  const albert::EncodeOptions options;
  size_t tokens = 0;
  const double batch = seconds([&] {
    tokens = 0;
    for (const albert::Encoding& encoding : encode_batch(*tokenizer, inputs, options, threads))
      tokens += encoding.ids.size();
  });
  size_t long_tokens = 0;
  const double long_line =
      seconds([&] { long_tokens = tokenizer->encode({one_line, {}, false}, options).ids.size(); });
  std::printf("load %.1f ms\n", load * 1e3);
  std::printf("%zu lines, %zu tokens, %d threads: %.2f million tokens/s\n", lines.size(), tokens, threads,
              tokens / batch / 1e6);
  std::printf("one line of %zu units, %zu tokens: %.2f million tokens/s\n", one_line.size(), long_tokens,
              long_tokens / long_line / 1e6);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
