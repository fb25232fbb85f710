// A plugin for qemu-aarch64 that counts the instructions of a program and logs their number when it exits. With
// blocks=FILE it also writes how often each basic block ran, and its code: "RUNS HEX" a line.
//
// Distributions do not ship qemu-plugin.h, so the few functions used are declared here. They are the same in every QEMU
// since 7. API_VERSION differs: QEMU 9 and later refuse plugins for version 1, and earlier ones refuse plugins for version 2.
// Reading code differs too, so blocks=FILE needs a QEMU before 9.

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*translated)(uint64_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*entered)(unsigned, void *), int flags,
                                          void *data);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*exiting)(uint64_t, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
void qemu_plugin_outs(const char *text);

int qemu_plugin_version = API_VERSION;

struct block {
    struct block *next;
    // Not atomic, because the counted program has one thread.
    uint64_t runs;
    size_t length;
    uint32_t code[];
};

static struct block *blocks;
static FILE *file;

static void entered(unsigned cpu, void *block) { ((struct block *)block)->runs++; }

static void translated(uint64_t id, struct qemu_plugin_tb *tb) {
    size_t length = qemu_plugin_tb_n_insns(tb);
    struct block *block = calloc(1, sizeof *block + length * sizeof *block->code);
    if (!block) abort();
    block->length = length;
    for (size_t i = 0; file && i < length; i++)
        memcpy(&block->code[i], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), sizeof *block->code);
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, entered, 0, block);
}

static void exiting(uint64_t id, void *data) {
    uint64_t instructions = 0;
    for (struct block *block = blocks; block; block = block->next) {
        instructions += block->runs * block->length;
        if (!file) continue;
        fprintf(file, "%" PRIu64 " ", block->runs);
        for (size_t i = 0; i < block->length; i++) fprintf(file, "%08" PRIx32, block->code[i]);
        fputc('\n', file);
    }
    if (file) fclose(file);
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64 "\n", instructions);
    qemu_plugin_outs(text);
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv) {
    static const char option[] = "blocks=";
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], option, strlen(option)) && !(file = fopen(argv[i] + strlen(option), "w"))) return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, exiting, NULL);
    return 0;
}
