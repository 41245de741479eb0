#include "kernels.h"

namespace listwise::core::kernels {

namespace baseline {
extern const Table table;
}

#ifdef LISTWISE_X86
namespace avx2 {
extern const Table table;
}
namespace avx512 {
extern const Table table;
}

static const Table& pick() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    return avx512::table;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::table;
  return baseline::table;
}
#else
static const Table& pick() {
  return baseline::table;
}
#endif

const Table& table() {
  static const Table& picked = pick();
  return picked;
}

}  // namespace listwise::core::kernels
