/* What a network keeps while it is trained, and what happens between the blocks of a batch. */

#define EPSILON 1e-5f   /* under the root of a normalisation */
#define FOLLOWED 0.1f   /* the part of each batch in the running statistics */

typedef struct {                     /* LANES images of a batch */
    vec *maps;                       /* [ROOM] */
    places *where;                   /* [WHERE] */
    float *gradient;                 /* [PARAMETERS], of its images */
    float *means, *squares;          /* [NORMALISED] moments */
    float *sums, *products;          /* [NORMALISED] of the gradient */
    vec live_lanes;                  /* 1 where there is an image */
    uvec seeds[DROPOUTS + 1];
    int first, live;                 /* its images: first to first + live - 1 of the batch */
    double loss;
    int correct;
} Block;

typedef struct {                     /* of one thread; each derives the same numbers */
    float *mean, *inverse, *scale;   /* [NORMALISED] */
    float *sums, *products;          /* [NORMALISED] means over the batch */
    float *tables;                   /* [LANES][INPUT_CHANNELS][TABLE] */
    float *room;                     /* of muon */
    vec *rows;                       /* [POOLED_ROWS] */
    int training;
} Own;

typedef struct {
    int blocks, used, threads;
    Block *block;
    Own *own;
    Team team;
    float *values, *gradient;        /* [PARAMETERS] */
    float *first, *second;           /* [PARAMETERS] what the optimiser keeps */
    float *running;                  /* [2][NORMALISED] mean and variance */
    float *turned;                   /* [TURNED] */
    float *losses;                   /* [images of the batch] */
    const Batch *batch;
    Rates kernels, vectors;
    float smoothing;
    uint64_t stream;                 /* of the dropout of this step */
    float *logits;                   /* [images][CLASSES] of an evaluation */
} Net;

typedef void (*Work)(Net *, Own *, Block *);
typedef void (*Hook)(Net *, Own *, int);

#ifdef TIMES  /* what each operation takes: of steps on one thread, for benchmarks */
#include <time.h>
static double seconds_of[OPERATIONS];

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + 1e-9 * time.tv_nsec;
}

#define TIMED(operation, call) do { \
    const double begun = now(); \
    call; \
    seconds_of[operation] += now() - begun; \
} while (0)
const double *operation_seconds(void) { return seconds_of; }
const char *operation_names(void) { return OPERATION_NAMES; }
#else
#define TIMED(operation, call) call
#endif

/* Moments of the batch from those of the blocks (Chan et al. 1979), in the order of the blocks. */
static void settle(Net *n, Own *p, int thread, int first, int channels, int pixels, int scale)
{
    for (int c = first; c < first + channels; c++) {
        double count = 0, mean = 0, squares = 0;
        for (int k = 0; k < n->used; k++) {
            const double more = (double)n->block[k].live * pixels, apart = n->block[k].means[c] - mean;
            squares += n->block[k].squares[c] + apart * apart * count * more / (count + more);
            mean += apart * more / (count + more);
            count += more;
        }
        p->mean[c] = (float)mean;
        p->inverse[c] = (float)(1 / sqrt(squares / count + EPSILON));
        p->scale[c] = p->inverse[c] * n->values[scale + c - first];
        if (thread == 0) {
            n->running[c] += FOLLOWED * ((float)mean - n->running[c]);
            n->running[NORMALISED + c] += FOLLOWED * ((float)(squares / (count - 1)) - n->running[NORMALISED + c]);
        }
    }
}

/* The gradients of scale and shift, and the means that `undo_norm` needs. */
static void settle_back(Net *n, Own *p, int thread, int first, int channels, int pixels, int scale)
{
    for (int c = first; c < first + channels; c++) {
        double sum = 0, product = 0;
        for (int k = 0; k < n->used; k++) sum += n->block[k].sums[c], product += n->block[k].products[c];
        const double count = (double)n->batch->count * pixels;
        p->sums[c] = (float)(sum / count), p->products[c] = (float)(product / count);
        if (thread == 0) {
            n->gradient[scale + c - first] = (float)product;
            n->gradient[scale + channels + c - first] = (float)sum;
        }
    }
}

static void lose(Net *n, Block *b, Map logits, Map gradient)
{
    int64_t labels[LANES];
    for (int lane = 0; lane < b->live; lane++) labels[lane] = n->batch->labels[n->batch->index[b->first + lane]];
    b->correct = 0;
    b->loss = cross_entropy(logits, gradient, labels, b->live, n->batch->weights, n->smoothing, 1.0f / n->batch->count,
                            n->losses + b->first, &b->correct);
}

/* The gradient of a parameter over the whole batch, in the order of the blocks. */
static void gather(Net *n, int first, int count)
{
    float *sum = n->gradient + first;
    memcpy(sum, n->block[0].gradient + first, sizeof(float) * count);
    for (int k = 1; k < n->used; k++) add_scaled(sum, n->block[k].gradient + first, 1, count);
}

/* Change a parameter by its gradient; rows and columns: of a kernel, 0 for a vector. */
static void change(Net *n, Own *p, int first, int count, int rows, int columns)
{
    const Rates *rates = rows ? &n->kernels : &n->vectors;
    float *values = n->values + first, *gradient = n->gradient + first, *kept = n->first + first;
    if (OPTIMIZER == ADAMW) adamw(values, gradient, kept, n->second + first, count, rates);
    else if (OPTIMIZER == MUON && rows) muon(values, gradient, kept, rows, columns, rates, p->room);
    else sgd(values, gradient, kept, count, rates);
}
