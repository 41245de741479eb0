#include "kernels.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "../error.h"

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
namespace avx512vnni {
extern const Table table;
}

static bool canRun(const Table& set) {
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (&set == &avx512vnni::table) return avx512 && __builtin_cpu_supports("avx512vnni");
  if (&set == &avx512::table) return avx512;
  return &set != &avx2::table || (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
}

static const Table* const sets[] = {&avx512vnni::table, &avx512::table, &avx2::table,
                                    &baseline::table};
#else
static bool canRun(const Table&) {
  return true;
}

static const Table* const sets[] = {&baseline::table};
#endif

static const Table& pick() {
  const char* wanted = std::getenv("LISTWISE_KERNELS");
  for (const Table* set : sets) {
    if (canRun(*set) && wanted != nullptr && std::strcmp(set->name, wanted) == 0) return *set;
  }
  for (const Table* set : sets) {
    if (canRun(*set)) return *set;
  }
  return baseline::table;
}

void refuseRoom(int64_t bytes) {
  throw Error(
      "OUT_OF_MEMORY",
      "Out of memory: the system refused " + std::to_string(bytes) +
          " bytes that one thread's attention works in; use shorter texts or fewer threads.");
}

const Table& table() {
  static const Table& picked = pick();
  return picked;
}

}  // namespace listwise::core::kernels
