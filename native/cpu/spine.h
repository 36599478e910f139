// What every spine includes first: all headers outside of it, and the bounds of a region of target code.
//
// A spine compiles the kernels for one instruction set and fills its table. Its region gives vector code to
// the functions between its ends alone: inline functions of the headers here stay runnable on every machine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "cpu/gelu_pieces.h"
#include "cpu/kernels.h"
#include "cpu/processor.h"
#include "support/rng.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define ALBERT_PRAGMA(tokens) _Pragma(#tokens)
#if defined(__clang__)
#define ALBERT_BEGIN_TARGET(features) \
  ALBERT_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define ALBERT_END_TARGET ALBERT_PRAGMA(clang attribute pop)
#elif defined(__GNUC__)
// GCC 12 warns of the deliberately undefined registers inside its own AVX-512 intrinsics.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#define ALBERT_BEGIN_TARGET(features) ALBERT_PRAGMA(GCC push_options) ALBERT_PRAGMA(GCC target(features))
#define ALBERT_END_TARGET ALBERT_PRAGMA(GCC pop_options)
#endif
