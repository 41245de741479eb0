"""What a user would run instead of listwise, on the same texts: sentence-transformers' encode, and the papers' training
step (arXiv 2502.19712) as code for PyTorch and transformers does it. Prints one JSON object.

    python peer.py encode --model DIR --texts texts.jsonl --max-length 256 --output embeddings.f32
    python peer.py score  --model DIR --pairs pairs.jsonl --max-length 512 --output scores.f32
    python peer.py head   --model DIR --max-length 512 --output CROSS_ENCODER
    python peer.py train  --model DIR --lists lists.jsonl --max-length 512 --queries 64 --micro 64

texts.jsonl has one string a line, pairs.jsonl one {"query", "passage"}, lists.jsonl one {"query", "passages": [{"id", "text", "score"}]}. Seconds cover
tokenising and computing, after a first call that is not counted. The step encodes every slot of every list, padded, in
micro-batches: once without a graph, for the embeddings and the loss's gradient by them, and once more with one, to
carry that gradient on (gradient caching, Gao et al., arXiv 2101.06983).
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import torch
import torch.nn.functional as F


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=["encode", "score", "head", "train"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--texts")
    parser.add_argument("--pairs")
    parser.add_argument("--lists")
    parser.add_argument("--output")
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--query-max-length", type=int, default=64)
    parser.add_argument("--queries", type=int, help="of a step; the whole file by default")
    parser.add_argument("--micro", type=int, default=64, help="texts in a micro-batch or batch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    return parser.parse_args()


def read_lines(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


class Clock:
    """Seconds of work on a device."""

    def __init__(self, device):
        self.is_cuda = device.startswith("cuda")

    def now(self):
        if self.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter()


def score(arguments, clock):
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(arguments.model, max_length=arguments.max_length, device=arguments.device)
    if clock.is_cuda:
        model.bfloat16()
    pairs = [(one["query"], one["passage"]) for one in read_lines(arguments.pairs)]
    model.predict(pairs[: arguments.micro], batch_size=arguments.micro)
    start = clock.now()
    scores = model.predict(pairs, batch_size=arguments.micro)
    seconds = clock.now() - start
    if arguments.output:
        scores.astype("float32").tofile(arguments.output)
    return dict(work=len(pairs), seconds=seconds)


def head(arguments, clock):
    """Saves an encoder as a cross-encoder, with a random head."""
    from sentence_transformers import CrossEncoder

    torch.manual_seed(1)
    CrossEncoder(arguments.model, num_labels=1, max_length=arguments.max_length).save(arguments.output)
    return dict(work=1, seconds=0)


def encode(arguments, clock):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(arguments.model, device=arguments.device)
    model.max_seq_length = arguments.max_length
    if clock.is_cuda:
        model.bfloat16()
    texts = read_lines(arguments.texts)
    options = dict(batch_size=arguments.micro, normalize_embeddings=True, convert_to_numpy=True)
    model.encode(texts[: arguments.micro], **options)
    start = clock.now()
    embeddings = model.encode(texts, **options)
    seconds = clock.now() - start
    if arguments.output:
        embeddings.astype("float32").tofile(arguments.output)
    return dict(work=len(texts), seconds=seconds)


class PapersStep:
    """Every slot by itself, padded, forward twice and backward once."""

    def __init__(self, arguments):
        from transformers import AutoModel, AutoTokenizer

        self.arguments = arguments
        self.tokenizer = AutoTokenizer.from_pretrained(arguments.model)
        self.net = AutoModel.from_pretrained(arguments.model).to(arguments.device).train()
        for module in self.net.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=0.0, weight_decay=0.01, fused=True)

    def embed(self, texts, length):
        device = self.arguments.device
        tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=length, return_tensors="pt").to(device)
        with torch.autocast("cuda", torch.bfloat16, enabled=device.startswith("cuda")):
            hidden = self.net(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1).float()
        return F.normalize((hidden.float() * mask).sum(1) / mask.sum(1), dim=1)

    def chunks(self, texts, length):
        for start in range(0, len(texts), self.arguments.micro):
            yield start, texts[start : start + self.arguments.micro], length

    def __call__(self, lists, learning_rate):
        passages = [passage for one in lists for passage in one["passages"]]
        sides = [
            ([one["query"] for one in lists], self.arguments.query_max_length),
            ([passage["text"] for passage in passages], self.arguments.max_length),
        ]
        leaves = []
        for texts, length in sides:
            with torch.no_grad():
                parts = [self.embed(chunk, length) for _, chunk, length in self.chunks(texts, length)]
            leaves.append(torch.cat(parts).requires_grad_())
        listwise, contrastive = losses(leaves, lists, [passage["id"] for passage in passages])
        (listwise + 0.1 * contrastive).backward()
        for leaf, (texts, length) in zip(leaves, sides):
            for start, chunk, length in self.chunks(texts, length):
                gradient = leaf.grad[start : start + len(chunk)]
                (self.embed(chunk, length) * gradient).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return listwise.item(), contrastive.item()


def losses(leaves, lists, ids):
    """Listwise distillation and InfoNCE over all slots, as section 3 of the papers and their code have them."""
    queries, passages = leaves
    count, length = len(lists), len(lists[0]["passages"])
    scores = [[passage["score"] for passage in one["passages"]] for one in lists]
    teacher = torch.tensor(scores, dtype=torch.double, device=queries.device)
    own = torch.einsum("nd,nld->nl", queries, passages.view(count, length, -1)).double()
    target = F.log_softmax(teacher / 0.3, 1)
    listwise = F.kl_div(F.log_softmax(own / 0.05, 1), target, log_target=True, reduction="batchmean")
    number = {name: i for i, name in enumerate(dict.fromkeys(ids))}
    slots = torch.tensor([number[name] for name in ids], device=queries.device)
    allowed = torch.ones(count, len(number), dtype=torch.bool, device=queries.device)
    masked = teacher > 0.6 * teacher[:, :1]
    masked[:, 0] = True
    rows = torch.arange(count, device=queries.device)
    allowed[rows[:, None].expand(count, length)[masked], slots.view(count, length)[masked]] = False
    kept = allowed[:, slots]
    kept[rows, rows * length] = True
    logits = (queries @ passages.T).double() / 0.01
    positives = logits[rows, rows * length]
    contrastive = (logits.masked_fill(~kept, float("-inf")).logsumexp(1) - positives).mean()
    return listwise, contrastive


def train(arguments, clock):
    lists = read_lines(arguments.lists)
    lists = lists[: arguments.queries or len(lists)]
    step = PapersStep(arguments)
    step(lists[: min(4, len(lists))], 0.0)
    both, times = [], []
    for _ in range(arguments.steps):
        start = clock.now()
        both.append(step(lists, arguments.learning_rate))
        times.append(clock.now() - start)
    result = dict(work=sum(len(one["passages"]) for one in lists), seconds=statistics.median(times), losses=both)
    if clock.is_cuda:
        result.update(peakBytes=torch.cuda.max_memory_allocated(), gpu=torch.cuda.get_device_name())
    return result


def main():
    arguments = parse_arguments()
    work = dict(encode=encode, score=score, head=head, train=train)[arguments.work]
    result = work(arguments, Clock(arguments.device))
    print(json.dumps(dict(result, threads=torch.get_num_threads(), torch=torch.__version__)))


main()
