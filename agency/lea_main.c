/* headgate-lea: stands for an agency's collection function in demonstrations and tests. */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "agency/calls.h"
#include "agency/lea.h"
#include "base/mem.h"
#include "base/proc.h"

struct options {
    struct lea_take take;
    const char *folder, *capture, *wav;
    unsigned call;
};

static void usage(FILE *f)
{
    fputs(
        "headgate-lea - stands for an agency's collection function\n"
        "\n"
        "usage: headgate-lea [take] [--cdc IP:PORT] [--x2 IP:PORT] [--folder DIR] [--json]\n"
        "                    [--certificate FILE --key FILE --ca FILE]\n"
        "       headgate-lea show DIR [--call N] [--json]\n"
        "       headgate-lea voice DIR --capture FILE --wav OUT [--json]\n"
        "\n"
        "take   call data (PCESP) and X2 (TS 103 221-2) from a carrier, by mutual TLS, or plain "
        "on\n"
        "       loopback; shows each message in a line; keeps all in DIR/cdc.ber, DIR/x2.pdu\n"
        "show   what was kept: call by call, both channels in the order of their times\n"
        "voice  the voice of the calls whose keys were kept, out of a pcap or pcapng file, as WAV\n"
        "\n"
        "examples:\n"
        "  headgate-lea --cdc 127.0.0.1:9900 --x2 127.0.0.1:9901 --folder case\n"
        "  headgate-lea show case --call 2\n"
        "  headgate-lea voice case --capture wire.pcap --wav heard\n"
        "\n"
        "exit: 0 done, 1 voice: none was found, 64 usage, 65 damaged file, 66 no such file,\n"
        "      73 cannot start or write\n",
        f);
}

static bool read_address(const char *text, struct net_addr *out)
{
    if (net_parse(view_of(text), 0, out) == E_OK && out->family != 0) {
        return true;
    }
    fprintf(stderr, "headgate-lea: '%s' is no address with a port\n", text);
    return false;
}

static bool read_call(const char *text, unsigned *out)
{
    uint64_t n = 0;

    if (view_to_u64(view_of(text), CALLS_MAX, &n) == E_OK && n > 0) {
        *out = (unsigned)n;
        return true;
    }
    fprintf(stderr, "headgate-lea: '%s' is no number of a call\n", text);
    return false;
}

/* False: wrong usage, which was said. */
static bool read_one(struct options *o, int c)
{
    switch (c) {
    case 'd':
        return read_address(optarg, &o->take.listen[LEA_CDC]);
    case 'x':
        return read_address(optarg, &o->take.listen[LEA_X2]);
    case 'n':
        return read_call(optarg, &o->call);
    case 'f':
        o->take.folder = optarg;
        return true;
    case 'j':
        o->take.json = true;
        return true;
    case 'c':
        o->take.files.certificate = optarg;
        return true;
    case 'k':
        o->take.files.key = optarg;
        return true;
    case 'a':
        o->take.files.ca = optarg;
        return true;
    case 'p':
        o->capture = optarg;
        return true;
    case 'w':
        o->wav = optarg;
        return true;
    case 'h':
        usage(stdout);
        exit(EX_OK);
    case 'v':
        puts("headgate-lea " HEADGATE_VERSION);
        exit(EX_OK);
    default:
        return false;
    }
}

static int wrong(const char *why)
{
    fprintf(stderr, "headgate-lea: %s; headgate-lea --help tells more\n", why);
    return EX_USAGE;
}

static int take(const struct options *o)
{
    const struct lea_take *t = &o->take;

    if (t->listen[LEA_CDC].family == 0 && t->listen[LEA_X2].family == 0) {
        return wrong("--cdc or --x2 says where to listen");
    }
    if (t->files.certificate != NULL && (t->files.key == NULL || t->files.ca == NULL)) {
        return wrong("--certificate wants --key and --ca too");
    }
    for (size_t i = 0; i < LEA_CHANNELS && t->files.certificate == NULL; i++) {
        if (t->listen[i].family != 0 && !net_is_loopback(&t->listen[i])) {
            return wrong("without a certificate loopback addresses alone");
        }
    }
    return lea_take(t);
}

static int show(const struct options *o)
{
    return o->folder == NULL ? wrong("show wants a folder")
                             : lea_show(o->folder, o->call, o->take.json);
}

static int voice(const struct options *o)
{
    return o->folder == NULL || o->capture == NULL || o->wav == NULL
               ? wrong("voice wants a folder, --capture and --wav")
               : lea_voice(o->folder, o->capture, o->wav, o->take.json);
}

static const struct command {
    const char *name;
    int (*run)(const struct options *o);
    bool has_folder;
} commands[] = {{"take", take, false}, {"show", show, true}, {"voice", voice, true}};

static const struct command *command_of(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static int read_options(struct options *o, const struct command **command, int argc, char **argv)
{
    static const struct option all[] = {{"cdc", required_argument, NULL, 'd'},
                                        {"x2", required_argument, NULL, 'x'},
                                        {"folder", required_argument, NULL, 'f'},
                                        {"json", no_argument, NULL, 'j'},
                                        {"certificate", required_argument, NULL, 'c'},
                                        {"key", required_argument, NULL, 'k'},
                                        {"ca", required_argument, NULL, 'a'},
                                        {"call", required_argument, NULL, 'n'},
                                        {"capture", required_argument, NULL, 'p'},
                                        {"wav", required_argument, NULL, 'w'},
                                        {"help", no_argument, NULL, 'h'},
                                        {"version", no_argument, NULL, 'v'},
                                        {NULL, 0, NULL, 0}};
    int c = 0;

    while ((c = getopt_long(argc, argv, "", all, NULL)) != -1) {
        if (!read_one(o, c)) {
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        *command = command_of(argv[optind++]);
        if (*command == NULL) {
            return wrong("the commands are take, show, voice");
        }
    }
    if ((*command)->has_folder && optind < argc) {
        o->folder = argv[optind++];
    }
    return optind == argc ? EX_OK : wrong("too many words");
}

static void *zalloc(size_t n)
{
    return mem_zalloc(n != 0 ? n : 1);
}

int main(int argc, char **argv)
{
    struct options o = {.folder = NULL};
    const struct command *command = &commands[0];
    int rc = EX_OK;

    proc_harden();
    json_set_alloc_funcs(zalloc, mem_free);
    umask(077); /* whatever is written is an agency's */
    rc = read_options(&o, &command, argc, argv);
    return rc == EX_OK ? command->run(&o) : rc;
}
