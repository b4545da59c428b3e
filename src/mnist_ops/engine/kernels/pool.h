/* Pools, and back. A kernel's side of 0 stands for an adaptive pool, whose windows share the map out. */

typedef int16_t places __attribute__((vector_size(2 * LANES)));  /* which pixel of its window was the largest */

/* -1 where tap `tap` of window i lies on an axis of that size, 0 where it lies in the padding: the border of the map. */
INLINE int inside(int i, int tap, int size, Kernel k)
{
    const int at = i * k.stride - k.padding + tap * k.dilation;
    return k.padding ? -(at >= 0) & -(at < size) : -1;
}

/* out = maximum of each window, and where it lies in the window: [channels][height][width] of out. What lies in the
   padding never wins, and NaN always does. plane: of one channel in `where`. */
INLINE void pool_max(Map in, Map out, places *where, int plane, Kernel k)
{
    for (int c = 0; c < in.channels; c++)
        PIXELS(y, x, out) {
            vec best = splat(-INFINITY);
            ivec place = (ivec){0};
            EACH(ky, k.side) EACH(kx, k.side) {
                vec value = AT(in, c, y * k.stride - k.padding + ky * k.dilation,
                               x * k.stride - k.padding + kx * k.dilation);
                ivec higher = ~(value <= best) & inside(y, ky, in.height, k) & inside(x, kx, in.width, k);
                best = choose(higher, value, best);
                place = (higher & (ky * k.side + kx)) | (~higher & place);
            }
            AT(out, c, y, x) = best;
            where[c * plane + y * out.width + x] = __builtin_convertvector(place, places);
        }
}

/* to = the gradient of what was pooled: each window's, in `after`, goes to its largest pixel. */
INLINE void undo_pool_max(Map after, const places *where, Map to, Kernel k)
{
    for (int c = 0; c < to.channels; c++) {
        PIXELS(y, x, to) AT(to, c, y, x) = splat(0);
        PIXELS(y, x, after) {
            ivec place = __builtin_convertvector(where[(c * after.height + y) * after.width + x], ivec);
            vec value = AT(after, c, y, x);
            EACH(ky, k.side) EACH(kx, k.side) {
                vec *at = &AT(to, c, y * k.stride - k.padding + ky * k.dilation,
                              x * k.stride - k.padding + kx * k.dilation);
                *at += choose(place == ky * k.side + kx, value, splat(0));  /* never one in the padding */
            }
        }
    }
}

/* First pixel of window i of `count` along an axis of that size, and the one after its last. */
INLINE int window_begin(int i, int size, int count, Kernel k)
{
    const int begin = k.side ? i * k.stride - k.padding : i * size / count;
    return begin < 0 ? 0 : begin;
}

INLINE int window_end(int i, int size, int count, Kernel k)
{
    const int end = k.side ? i * k.stride - k.padding + k.side : ((i + 1) * size + count - 1) / count;
    return end > size ? size : end;
}

/* out = the mean of each window of map; or, BACK, map = the sum of what each window's gradient in out gives to its
   pixels. The zeros of a padding count, so that a window which reaches into it is as large as any other. */
INLINE void average(Map map, Map out, Kernel k, int BACK)
{
    for (int c = 0; c < map.channels; c++) {
        if (BACK) PIXELS(y, x, map) AT(map, c, y, x) = splat(0);
        PIXELS(y, x, out) {
            const int top = window_begin(y, map.height, out.height, k), left = window_begin(x, map.width, out.width, k);
            const int bottom = window_end(y, map.height, out.height, k), right = window_end(x, map.width, out.width, k);
            const float share = 1.0f / (k.side ? k.side * k.side : (bottom - top) * (right - left));
            const vec given = BACK ? AT(out, c, y, x) * share : splat(0);
            vec sum = splat(0);
            for (int row = top; row < bottom; row++) {
                vec of_row = splat(0);  /* equal pixels by the hundred would round to the same side each time */
                for (int column = left; column < right; column++)
                    if (BACK) AT(map, c, row, column) += given;
                    else of_row += AT(map, c, row, column);
                sum += of_row;
            }
            if (!BACK) AT(out, c, y, x) = sum * share;
        }
    }
}
