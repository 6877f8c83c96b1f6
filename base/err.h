/* base/err.h - the one error type of the project.
 *
 * Three kinds of failure, three treatments: our own bug aborts (BUG_ON); the peer's fault (E_PARSE
 * .. E_DENIED) is counted, answered and never fatal; the environment (E_NOMEM .. E_CRYPTO) fails
 * the one operation and leaves the process alive.
 *
 * A function that can fail returns `enum err`; results leave through out_ parameters, written only
 * on E_OK. Threads: err_where() is per thread. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define ERR_LIST(X)                                                                                \
    X(E_OK, "ok")                                                                                  \
    X(E_PARSE, "malformed input")                                                                  \
    X(E_RANGE, "value out of range")                                                               \
    X(E_AUTH, "authentication failed")                                                             \
    X(E_REPLAY, "replayed or stale")                                                               \
    X(E_DENIED, "not permitted")                                                                   \
    X(E_STATE, "not valid in this state")                                                          \
    X(E_NOTFOUND, "no such object")                                                                \
    X(E_EXISTS, "exists already")                                                                  \
    X(E_FULL, "limit reached")                                                                     \
    X(E_NOMEM, "out of memory")                                                                    \
    X(E_TIMEOUT, "timed out")                                                                      \
    X(E_IO, "input/output error")                                                                  \
    X(E_CRYPTO, "crypto library failure")

#define ERR_ENUM(id, text) id,
enum err { ERR_LIST(ERR_ENUM) E__COUNT };
#undef ERR_ENUM

/* Put before every declaration that returns enum err. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* Names the place where an error is born; whoever handles it logs it once. */
#ifdef __clang_analyzer__ /* it cannot see that err_born() returns what it is given */
#define FAIL(code) (code)
#else
#define FAIL(code) err_born((code), __FILE__, __LINE__)
#endif

/* The only macro that hides control flow. Needs a local `enum err e` and a label `out`. */
#define TRY(expr)                                                                                  \
    do {                                                                                           \
        e = (expr);                                                                                \
        if (e != E_OK) {                                                                           \
            goto out;                                                                              \
        }                                                                                          \
    } while (0)

/* Drop a result on purpose; the reason is for the reader. */
#define IGNORE(expr, reason)                                                                       \
    do {                                                                                           \
        enum err ignored_ = (expr);                                                                \
        (void)ignored_;                                                                            \
    } while (0)

/* An impossible state is our bug: always on, aborts with the place. */
#define BUG_ON(cond)                                                                               \
    do {                                                                                           \
        if (__builtin_expect(!!(cond), 0)) {                                                       \
            bug_abort(#cond, __FILE__, __LINE__);                                                  \
        }                                                                                          \
    } while (0)

enum err err_born(enum err code, const char *file, int line);
const char *err_name(enum err e); /* "E_PARSE" */
const char *err_text(enum err e); /* "malformed input" */
const char *err_where(void);      /* "file.c:42" of this thread's last FAIL() */
_Noreturn void bug_abort(const char *what, const char *file, int line);

#endif
