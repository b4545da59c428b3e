/* A vector holds one number of each of LANES images: whatever is done to a map is done to LANES images at once.

   A map lies as [channel][row][column], a vec each, with a border of zeros around every channel where what reads it
   pads. All sizes are constants where these functions are called, and all of them are inlined, so that the compiler
   unrolls the small loops and keeps sums in registers. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined __AVX512F__
#define LANES 16
#define REGISTERS 32
#elif defined __AVX__
#define LANES 8
#define REGISTERS 16
#elif defined __ARM_NEON
#define LANES 4
#define REGISTERS 32
#else
#define LANES 4
#define REGISTERS 16
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef uint32_t uvec __attribute__((vector_size(4 * LANES)));

typedef struct {
    vec *at;                       /* the first pixel, inside the border */
    int plane, pitch;              /* vecs of a channel and of a row, the border included */
    int channels, height, width;   /* without the border */
} Map;

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif
#define EACH(name, count) UNROLL for (int name = 0; name < (count); name++)
#define AT(map, c, y, x) (map).at[(c) * (map).plane + (y) * (map).pitch + (x)]
#define PIXELS(y, x, map) for (int y = 0; y < (map).height; y++) for (int x = 0; x < (map).width; x++)

INLINE vec splat(float value) { return value - (vec){0}; }

/* where ? yes : no, lane by lane; where is -1 or 0 in each lane, as comparisons give it. */
INLINE vec choose(ivec where, vec yes, vec no) { return (vec)((where & (ivec)yes) | (~where & (ivec)no)); }

/* The sum of all lanes, in an order that is the same each time. */
INLINE float total(vec values)
{
    float parts[LANES];
    memcpy(parts, &values, sizeof parts);
    UNROLL for (int half = LANES / 2; half > 0; half /= 2)
        EACH(lane, half) parts[lane] += parts[lane + half];
    return parts[0];
}

/* to[count] += factor * from[count]: plain floats, any count. */
static void add_scaled(float *to, const float *from, float factor, int count)
{
    int i = 0;
    for (; i + LANES <= count; i += LANES) {
        vec sum, more;
        memcpy(&sum, to + i, sizeof sum);
        memcpy(&more, from + i, sizeof more);
        sum += factor * more;
        memcpy(to + i, &sum, sizeof sum);
    }
    for (; i < count; i++) to[i] += factor * from[i];
}
