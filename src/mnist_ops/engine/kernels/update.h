/* What is done with a gradient, as optim/optimizers.py defines it. Arrays are [count], of one parameter. */

enum { SGD, ADAMW, MUON };

typedef struct {
    float rate, momentum, decay;
    float orthogonal;                 /* muon: the share of the rate for kernels */
    float correction1, correction2;   /* adamw: 1 - beta**step for both betas */
} Rates;

INLINE void sgd(float *values, const float *gradient, float *velocity, int count, const Rates *r)
{
    for (int i = 0; i < count; i++) {
        float g = gradient[i] + r->decay * values[i];
        velocity[i] = r->momentum * velocity[i] + g;
        values[i] -= r->rate * (g + r->momentum * velocity[i]);
    }
}

INLINE void adamw(float *values, const float *gradient, float *first, float *second, int count, const Rates *r)
{
    for (int i = 0; i < count; i++) {
        first[i] += (1 - r->momentum) * (gradient[i] - first[i]);
        second[i] = 0.999f * second[i] + 0.001f * gradient[i] * gradient[i];
        values[i] *= 1 - r->rate * r->decay;
        values[i] -= r->rate / r->correction1 * first[i] / (sqrtf(second[i] / r->correction2) + 1e-8f);
    }
}

/* out = a x + b square x: [rows][columns]; square: [rows][rows]. */
static void combined(const float *square, const float *x, float *out, int rows, int columns, float a, float b)
{
    for (int i = 0; i < rows; i++) {
        float *made = out + i * columns;
        for (int j = 0; j < columns; j++) made[j] = a * x[i * columns + j];
        for (int k = 0; k < rows; k++) add_scaled(made, x + k * columns, b * square[i * rows + k], columns);
    }
}

static float product(const float *one, const float *other, int count)
{
    vec sums = splat(0);
    int i = 0;
    for (; i + LANES <= count; i += LANES) {
        vec a, b;
        memcpy(&a, one + i, sizeof a);
        memcpy(&b, other + i, sizeof b);
        sums += a * b;
    }
    float sum = total(sums);
    for (; i < count; i++) sum += one[i] * other[i];
    return sum;
}

/* x = about the nearest matrix whose singular values are all 1: five rounds of x -> a x + b (xx')x + c (xx')^2 x
   (Jordan et al. 2024). x: [rows][columns], rows <= columns; room: 2 rows^2 + rows columns floats. */
static void orthogonalise(float *x, int rows, int columns, float *room)
{
    float *square = room, *both = square + rows * rows, *next = both + rows * rows;
    double norm = 0;
    for (int i = 0; i < rows * columns; i++) norm += (double)x[i] * x[i];
    const float factor = 1 / ((float)sqrt(norm) + 1e-7f);
    for (int i = 0; i < rows * columns; i++) x[i] *= factor;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < rows; i++)
            for (int j = 0; j <= i; j++)
                square[i * rows + j] = square[j * rows + i] = product(x + i * columns, x + j * columns, columns);
        combined(square, square, both, rows, rows, -4.7750f, 2.0315f);
        combined(both, x, next, rows, columns, 3.4445f, 1);
        memcpy(x, next, sizeof(float) * rows * columns);
    }
}

/* One step of a kernel [rows][columns], a row for each output channel; room: 2 n^2 + 2 rows columns floats, n the
   smaller of both. */
static void muon(float *values, const float *gradient, float *velocity, int rows, int columns, const Rates *r,
                 float *room)
{
    const int tall = rows > columns, few = tall ? columns : rows, many = tall ? rows : columns;
    float *x = room;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            const int at = i * columns + j;
            velocity[at] = r->momentum * velocity[at] + gradient[at];
            x[tall ? j * rows + i : at] = gradient[at] + r->momentum * velocity[at];
        }
    orthogonalise(x, few, many, room + rows * columns);
    const float step = r->rate * r->orthogonal * (tall ? sqrtf((float)rows / columns) : 1);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) values[i * columns + j] -= step * x[tall ? j * rows + i : i * columns + j];
}
