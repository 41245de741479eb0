"""The other side of bench/faiss.ts: reads matrices, then searches once for each line on stdin and prints the seconds."""
import json
import os
import sys
import time

import faiss
import numpy as np

corpus_file, queries_file, results_file, k, threads = sys.argv[1:6]
faiss.omp_set_num_threads(int(threads))
corpus = np.load(corpus_file)
queries = np.load(queries_file)
index = faiss.IndexFlatIP(corpus.shape[1])
index.add(corpus)
del corpus
print(json.dumps({"faiss": faiss.__version__, "threads": faiss.omp_get_max_threads(), "pid": os.getpid()}), flush=True)
for line in sys.stdin:
    started, used = time.perf_counter(), time.process_time()
    scores, rows = index.search(queries, int(k))
    seconds, used = time.perf_counter() - started, time.process_time() - used
    if line.strip() == "save":
        rows.astype(np.int32).tofile(results_file + ".rows")
        scores.tofile(results_file + ".scores")
    print(json.dumps({"seconds": seconds, "cpuSeconds": used}), flush=True)
