// Connects the pre-training data of the core to JavaScript; a batch crosses as a few flat arrays.
#include "pretraining_wrap.h"

#include "convert.h"
#include "promise_worker.h"
#include "tokenizer_wrap.h"
#include "train/tfrecord.h"
#include "train/word_starts.h"

namespace albert::binding {

namespace {

ObjectiveOptions to_objective(const Napi::Object& object) {
  ObjectiveOptions options;
  options.max_length = to_int(object.Get("maxLength"), "maxLength");
  options.masked_probability = to_double(object.Get("maskedLmProbability"), "maskedLmProbability");
  options.max_predictions = to_int(object.Get("maxPredictions"), "maxPredictions");
  options.ngram = to_int(object.Get("ngram"), "ngram");
  options.favor_shorter = to_bool(object.Get("favorShorter"), "favorShorter");
  options.whole_word = to_bool(object.Get("wholeWord"), "wholeWord");
  options.short_probability = to_double(object.Get("shortSequenceProbability"), "shortSequenceProbability");
  const std::string pairs = to_text(object.Get("sentencePairs"), "sentencePairs");
  options.pairs = pairs == "nsp"    ? SentencePairs::kNext
                  : pairs == "none" ? SentencePairs::kNone
                                    : SentencePairs::kOrder;
  check(options.max_length >= 5 && options.ngram >= 1 && options.max_predictions >= 0,
        ErrorCode::kInvalidArgument, "expected maxLength of at least 5 and ngram of at least 1");
  return options;
}

Napi::Value batch_to_js(Napi::Env env, const PretrainingBatch& batch) {
  std::vector<int32_t> ids, types, labels, lengths, orders, spans, span_counts;
  for (const Instance& instance : batch.instances) {
    ids.insert(ids.end(), instance.ids.begin(), instance.ids.end());
    types.insert(types.end(), instance.types.begin(), instance.types.end());
    labels.insert(labels.end(), instance.labels.begin(), instance.labels.end());
    spans.insert(spans.end(), instance.spans.begin(), instance.spans.end());
    lengths.push_back(static_cast<int32_t>(instance.ids.size()));
    orders.push_back(instance.sop_label);
    span_counts.push_back(static_cast<int32_t>(instance.spans.size() / 3));
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("ids", int_array(env, ids));
  object.Set("types", int_array(env, types));
  object.Set("labels", int_array(env, labels));
  object.Set("lengths", int_array(env, lengths));
  object.Set("orders", int_array(env, orders));
  object.Set("spans", int_array(env, spans));
  object.Set("spanCounts", int_array(env, span_counts));
  object.Set("epoch", Napi::Number::New(env, static_cast<double>(batch.next.epoch)));
  object.Set("index", Napi::Number::New(env, static_cast<double>(batch.next.index)));
  return object;
}

}  // namespace

Napi::Function PretrainingWrap::define(Napi::Env env) {
  return DefineClass(
      env, "Pretraining",
      {InstanceMethod("batch", &PretrainingWrap::batch), InstanceMethod("size", &PretrainingWrap::size)});
}

PretrainingWrap::PretrainingWrap(const Napi::CallbackInfo& info) : Wrapped(info) {
  opened_ = contents_of<Opened>(info);
  Napi::Object self = info.This().As<Napi::Object>();
  self.Set("heldOut", Napi::Number::New(info.Env(), static_cast<double>(opened_.source->held_out())));
}

Napi::Value PretrainingWrap::open(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto tokenizer = TokenizerWrap::Unwrap(to_object(info[0], "tokenizer"))->shared();
    const Napi::Array array = to_array(info[1], "files");
    std::vector<std::string> files;
    for (uint32_t i = 0; i < array.Length(); ++i) files.push_back(to_path(array.Get(i), "files"));
    const Napi::Object object = to_object(info[2], "options");
    const ObjectiveOptions options = to_objective(object);
    const bool records = to_bool(object.Get("records"), "records");
    Split split;
    split.held_out = to_double(object.Get("holdOut"), "holdOut");
    split.evaluation = to_bool(object.Get("evaluation"), "evaluation");
    const uint64_t seed = to_count(object.Get("seed"), "seed");
    return PromiseWorker<Opened>::run(
        info.Env(), "albert-native pretraining data",
        [=]() -> Opened {
          const auto maps = FileMap::open_all(files, ErrorCode::kData);
          if (records) return {tfrecord_source(maps, tokenizer->vocabulary_size()), seed, !split.evaluation};
          const SpecialTokens& special = tokenizer->special_tokens();
          check(special.cls >= 0 && special.sep >= 0 && special.mask >= 0, ErrorCode::kTokenizer,
                "expected a vocabulary with [CLS], [SEP] and [MASK] for pre-training");
          MaskingVocabulary vocabulary{word_starts(*tokenizer), special.cls, special.sep, special.mask};
          auto corpus = std::make_shared<const Corpus>(maps);
          return {corpus_source(corpus, std::move(vocabulary), options, seed, split), seed,
                  !split.evaluation};
        },
        make<Opened>);
  });
}

Napi::Value PretrainingWrap::write_shard(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string path = to_path(info[0], "path");
    auto tokens = to_ints(info[1], "tokens");
    auto lengths = to_ints(info[2], "segmentLengths");
    auto documents = to_ints(info[3], "documentSegments");
    return run_work(
        info.Env(), "albert-native shard",
        [path, tokens = std::move(tokens), lengths = std::move(lengths), documents = std::move(documents)] {
          albert::write_shard(path, tokens, lengths, documents);
        });
  });
}

Napi::Value PretrainingWrap::batch(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Cursor from{to_count(info[0], "epoch"), to_count(info[1], "index")};
    const uint64_t count = to_count(info[2], "count"), epochs = to_count(info[3], "epochs");
    return PromiseWorker<PretrainingBatch>::run(
        info.Env(), "albert-native pretraining batch",
        [opened = opened_, from, count, epochs] {
          return make_batch(*opened.source, opened.seed, from, static_cast<size_t>(count), epochs,
                            opened.shuffle);
        },
        batch_to_js);
  });
}

Napi::Value PretrainingWrap::size(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const uint64_t epoch = to_count(info[0], "epoch");
    return PromiseWorker<uint64_t>::run(
        info.Env(), "albert-native pretraining size",
        [opened = opened_, epoch] { return opened.source->size(epoch); },
        [](Napi::Env env, uint64_t size) -> Napi::Value {
          return Napi::Number::New(env, static_cast<double>(size));
        });
  });
}

}  // namespace albert::binding
