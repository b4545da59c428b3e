/* Threads that work on one job after another, and meet in between. They wait by spinning shortly, as the meetings of a
   step are microseconds apart, then let others run, and sleep where no job comes for long. */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SPINS 2000
#define YIELDS 2000

typedef struct Team {
    int threads;
    void (*work)(void *job, int thread);
    void *job;
    atomic_int number, arrived, turn, sleeping;  /* number: of the job; turn: of the meeting */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t *ids;
} Team;

typedef struct { Team *team; int thread; } Member;

static int passed(atomic_int *value, int old)
{
    for (int i = 0; i < SPINS; i++)
        if (atomic_load_explicit(value, memory_order_acquire) != old) return 1;
    for (int i = 0; i < YIELDS; i++) {
        if (atomic_load_explicit(value, memory_order_acquire) != old) return 1;
        sched_yield();
    }
    return 0;
}

/* Wait until all threads have come here. */
static void meet(Team *team)
{
    if (team->threads == 1) return;
    const int turn = atomic_load(&team->turn);
    if (atomic_fetch_add(&team->arrived, 1) + 1 == team->threads) {
        atomic_store(&team->arrived, 0);
        atomic_store_explicit(&team->turn, turn + 1, memory_order_release);
    } else
        while (!passed(&team->turn, turn)) { }
}

static void *serve(void *given)
{
    Member member = *(Member *)given;
    Team *team = member.team;
    free(given);
    for (int done = 0;; done++) {
        if (!passed(&team->number, done)) {
            pthread_mutex_lock(&team->lock);
            atomic_fetch_add(&team->sleeping, 1);
            while (atomic_load(&team->number) == done) pthread_cond_wait(&team->wake, &team->lock);
            atomic_fetch_sub(&team->sleeping, 1);
            pthread_mutex_unlock(&team->lock);
        }
        if (!team->work) return NULL;
        team->work(team->job, member.thread);
        meet(team);
    }
}

static void announce(Team *team)
{
    atomic_fetch_add(&team->number, 1);
    if (atomic_load(&team->sleeping)) {
        pthread_mutex_lock(&team->lock);
        pthread_cond_broadcast(&team->wake);
        pthread_mutex_unlock(&team->lock);
    }
}

/* Let every thread, of which the caller is number 0, do work(job, thread); -> when all are done. */
static void together(Team *team, void (*work)(void *, int), void *job)
{
    team->work = work, team->job = job;
    announce(team);
    work(job, 0);
    meet(team);
}

/* Begin with so many threads, or as many as the system gives. */
static void begin_team(Team *team, int threads)
{
    memset(team, 0, sizeof *team);
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->wake, NULL);
    team->ids = calloc(threads, sizeof *team->ids);
    team->threads = threads;
    for (int i = 1; i < threads; i++) {
        Member *member = malloc(sizeof *member);
        if (!team->ids || !member) { team->threads = i; break; }
        *member = (Member){team, i};
        if (pthread_create(&team->ids[i], NULL, serve, member)) { free(member); team->threads = i; break; }
    }
}

static void end_team(Team *team)
{
    team->work = NULL;
    announce(team);
    for (int i = 1; i < team->threads; i++) pthread_join(team->ids[i], NULL);
    free(team->ids);
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->lock);
}
