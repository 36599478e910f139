// 16-bit floating point numbers as checkpoints and packed weights store them.
#pragma once

#include <cstdint>
#include <cstring>

namespace albert {

inline float float_from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// bfloat16 is the upper half of a float.
inline float bf16_to_f32(uint16_t half) { return float_from_bits(static_cast<uint32_t>(half) << 16); }

// Rounded to nearest even; finite values only.
inline uint16_t f32_to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// IEEE 754 binary16. A float holds every half exactly, so subnormal halves become normal floats.
inline float f16_to_f32(uint16_t half) {
  uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  uint32_t exponent = (half >> 10) & 0x1fu;
  uint32_t mantissa = half & 0x3ffu;
  if (exponent == 0x1f) return float_from_bits(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return float_from_bits(sign | ((exponent + 112) << 23) | (mantissa << 13));
  constexpr float kSmallest = 1.0f / 16777216;  // 2^-24, the unit of subnormal halves
  float magnitude = static_cast<float>(mantissa) * kSmallest;
  return sign ? -magnitude : magnitude;
}

// Rounded to nearest even; what is too large becomes infinite.
inline uint16_t f32_to_f16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude >= 0x47800000u)  // 2^16 and above, infinities and NaN
    return static_cast<uint16_t>(sign | (magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u));
  if (magnitude < 0x38800000u) {  // below 2^-14: added to 1/2, the fraction's last bit is worth 2^-24
    const float shifted = float_from_bits(magnitude) + 0.5f;
    std::memcpy(&bits, &shifted, sizeof bits);
    return static_cast<uint16_t>(sign | (bits - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | (rounded - 0x38000000u) >> 13);
}

}  // namespace albert
