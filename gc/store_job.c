/* Work that takes long (building and saving snapshots), off the store's loop. */
#include "gc/store_int.h"

struct job {
    struct loop_wake *wake;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*work)(void *arg), (*done)(void *arg);
    void *arg;
    enum { JOB_IDLE, JOB_WORKING, JOB_DONE } state;
    bool ending;
};

static void *run(void *arg)
{
    struct job *j = arg;

    pthread_mutex_lock(&j->lock);
    for (;;) {
        while (j->state != JOB_WORKING && !j->ending) {
            pthread_cond_wait(&j->changed, &j->lock);
        }
        if (j->state != JOB_WORKING) {
            break;
        }
        pthread_mutex_unlock(&j->lock);
        j->work(j->arg);
        pthread_mutex_lock(&j->lock);
        j->state = JOB_DONE;
        loop_wake_send(j->wake);
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

static void on_wake(void *arg)
{
    struct job *j = arg;
    bool done = false;

    pthread_mutex_lock(&j->lock);
    done = j->state == JOB_DONE;
    if (done) {
        j->state = JOB_IDLE;
    }
    pthread_mutex_unlock(&j->lock);
    if (done) {
        j->done(j->arg);
    }
}

enum err job_new(struct loop *l, struct job **out)
{
    struct job *j = mem_zalloc(sizeof *j);
    enum err e = j != NULL ? loop_wake_new(l, on_wake, j, &j->wake) : FAIL(E_NOMEM);

    if (e != E_OK) {
        mem_free(j);
        return e;
    }
    BUG_ON(pthread_mutex_init(&j->lock, NULL) != 0);
    BUG_ON(pthread_cond_init(&j->changed, NULL) != 0);
    if (pthread_create(&j->thread, NULL, run, j) != 0) {
        loop_wake_free(j->wake);
        pthread_cond_destroy(&j->changed);
        pthread_mutex_destroy(&j->lock);
        mem_free(j);
        return FAIL(E_NOMEM);
    }
    *out = j;
    return E_OK;
}

void job_run(struct job *j, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    pthread_mutex_lock(&j->lock);
    BUG_ON(j->state != JOB_IDLE);
    j->work = work;
    j->done = done;
    j->arg = arg;
    j->state = JOB_WORKING;
    pthread_cond_signal(&j->changed);
    pthread_mutex_unlock(&j->lock);
}

bool job_busy(const struct job *j)
{
    union {
        const struct job *in;
        struct job *out;
    } u = {.in = j}; /* the lock is taken, nothing else changes */
    bool busy = false;

    pthread_mutex_lock(&u.out->lock);
    busy = j->state != JOB_IDLE;
    pthread_mutex_unlock(&u.out->lock);
    return busy;
}

void job_free(struct job *j)
{
    if (j == NULL) {
        return;
    }
    pthread_mutex_lock(&j->lock);
    j->ending = true;
    pthread_cond_signal(&j->changed);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->thread, NULL);
    loop_wake_free(j->wake);
    pthread_cond_destroy(&j->changed);
    pthread_mutex_destroy(&j->lock);
    mem_free(j);
}
