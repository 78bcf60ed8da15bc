"""Writes the two binary documents of `examples/knowledge`: a Word file and a PDF. Their text lives here.

    pip install python-docx==1.2.0 reportlab==5.1.0
    python examples/make_documents.py

The text is a small part of Markdown: `#` headings, paragraphs, `- ` and `1. ` lists, `| a | b |` tables, code indented by four
spaces. Equal text gives equal bytes: dates are fixed and so is the order of everything.
"""

import datetime
import io
import itertools
import pathlib
import zipfile
from xml.sax.saxutils import escape

import docx
import docx.shared
from reportlab.lib import colors, pagesizes, styles, units
from reportlab.platypus import KeepTogether, Paragraph, Preformatted, SimpleDocTemplate, Spacer, Table, TableStyle

FOLDER = pathlib.Path(__file__).parent / "knowledge"
DATE = datetime.datetime(2026, 11, 24, 12, 0, 0)
AUTHOR = "The Omni-LLM authors"

HANDBOOK = """
# Operations handbook

This handbook is for those who keep an Omni-LLM service running. It covers configuration, starting and stopping, logs, limits, \
rolling out new knowledge, and what to do when something fails.

## Configuration

Every setting has a default, the file omni.toml overrides the defaults, and environment variables override the file.

The service reads omni.toml in its working folder, or the file that OMNI_CONFIG names. An empty variable counts as not set. A \
setting that is misspelt or out of range stops the service at start, with a message that names the line or the variable.

### The variables that operators use most

| Variable | Key in omni.toml | Default | What it sets |
| OMNI_INDEX | index | the only .omni file here | the index file, or a folder holding one |
| OMNI_MODEL | model | models/all-MiniLM-L6-v2 | the folder of the embedding model |
| OMNI_ADDR | addr | 127.0.0.1:8080 | where the service listens |
| OMNI_PROVIDER | generation.provider | none | who answers; none is the extractive answer |
| OPENAI_API_KEY | - | none | the key for OpenAI |
| CUSTOM_BASE_URL | providers.custom.base_url | none | the address of your own model server |
| REQUEST_TIMEOUT | limits.request_timeout_s | 60 | seconds for a whole answer |
| MAX_REQUEST_SIZE_MB | limits.max_request_size_mb | 6 | largest request body, in MiB |
| MAX_TOKENS_DEFAULT | generation.max_tokens | 4096 for /v1/query | most tokens of an answer |
| OMNI_TOP_K | retrieval.top_k | 5 | passages for one question |
| LOG_LEVEL | log.level | info | trace, debug, info, warn or error |
| OMNI_LOG_FORMAT | log.format | auto | json, text, or auto |

Keys of providers have no place in omni.toml: they stand in environment variables, in files that variables such as \
OPENAI_API_KEY_FILE name, or in AWS Secrets Manager.

### An example of omni.toml

    index = "/srv/knowledge.omni"

    [generation]
    provider = "custom"
    fallback_extractive = true

    [providers.custom]
    base_url = "http://10.0.0.7:8000/v1"
    model = "llama-3.3-8b"

    [limits]
    request_timeout_s = 90

## Starting and stopping

The command `omni-llm serve` starts the service on a port of the loopback. It has no passwords and no TLS of its own: other \
machines come in through a proxy on the same machine that has both.

When the service is told to stop by SIGTERM or Ctrl-C, it takes no new requests and gives the open ones up to 25 seconds to \
finish. The key limits.shutdown_timeout_s changes that time; give your container platform a longer grace period than that.

## Health

GET /healthz says that the process is up and is the right address for the probe of a load balancer. GET /v1/index says which \
index is loaded, with its digest and its number of documents, and is the right address for a check after a rollout.

## Logs

Logs are written to standard error: text on a terminal, and one JSON object a line everywhere else. There is one line for each \
request, with the request id that the caller got. Prompts, passages, answers and keys are never logged, at any level.

To find out what happened to a request, search the log for the request_id of the response. The log line of a failure holds the \
whole chain of causes, while the caller reads only the public message.

## Limits and timeouts

| Key in omni.toml | Default | Meaning |
| limits.request_timeout_s | 60 | seconds for a whole answer, or until a streamed one begins |
| limits.stream_idle_timeout_s | 30 | seconds that a streamed answer may be silent |
| limits.stream_timeout_s | 600 | seconds that a streamed answer may take |
| limits.header_timeout_s | 10 | seconds for a client to send its headers |
| limits.body_timeout_s | 30 | seconds for a client to send its body |
| limits.shutdown_timeout_s | 25 | seconds that open requests get at shutdown |
| limits.max_connections | 1024 | connections held at once; more wait |
| limits.concurrent_searches | one a core | searches computed at once; more wait |

A search keeps one core busy for a moment, so the service computes no more searches at once than there are cores. Waiting for a \
provider costs no core, so one small machine can have many answers in flight.

## Memory

The index is mapped into memory and not copied, so several processes on one machine share it. The operating system may drop its \
pages and read them again, which is slow on a slow disk: give the machine enough memory for the whole index file.

## Rolling out new knowledge

1. Build the new index with index-builder and read the report: how many documents, and which files were skipped.
2. Copy the new file beside the old one under a new name, never over a file that is in use.
3. Start a new process with the new file and check GET /v1/index.
4. Move the traffic to the new process, then stop the old one.
5. Keep the old file until you are sure, because going back means starting a process with it.

Never write into an index file that a running service has mapped. The builder itself is safe: it renames a finished file over the \
old one, and a running service keeps the old bytes until it is restarted.

## What to back up

Back up your documents and your configuration. The index can be built again from them: equal documents, settings and versions \
give the same file, byte for byte.

## When something fails

- If every answer is an error with the code AUTHENTICATION, the key of the provider is missing (status 400) or was refused (status 424).
- If answers take long, compare metadata.execution_time of a query with that of POST /v1/search: the difference is the provider.
- If an answer lacks what you expect, ask the same with POST /v1/search and see whether the passage is found at all.
- If a passage is not found, run `index-builder extract` on its file and see whether its text was extracted.
- If an index file seems to be damaged, run `omni-llm inspect FILE --verify`, which reads every byte of it.
- If the provider is down, set OMNI_FALLBACK_EXTRACTIVE to true, and callers get quoted passages in the meantime.
"""

LAMBDA = """
# Deploying on AWS Lambda

Omni-LLM runs on AWS Lambda as one container image that holds the program, the embedding model and the index. Nothing is \
downloaded when the function starts, and a search needs no network unless a provider embedded the index.

## What you need

- An AWS account, and the AWS command line tool with rights to ECR and Lambda.
- Docker, or another tool that builds container images from a Dockerfile.
- A folder with the documents that the function is to know.

## Build the image

The Dockerfile of the repository builds the programs, fetches the embedding model, builds the index and puts the three together. \
The build argument KNOWLEDGE names the folder of your documents below the build context.

    docker build --provenance=false --sbom=false \\
      --build-arg KNOWLEDGE=my-documents \\
      --tag omni-llm:2026-11-24 .

Lambda accepts only a single image manifest, so build with --provenance=false and --sbom=false. Build on a machine of the same \
architecture as the function: x86_64 or arm64.

A document that cannot be read is named in the output of the build. Look at the report there before you deploy the image.

### The same image elsewhere

The entry point of the image is omni-llm. Without a command it serves the Runtime API where AWS_LAMBDA_RUNTIME_API is set, as it \
is on Lambda. Anywhere else, give it the command serve, and it serves port 8080.

    docker run --rm --publish 127.0.0.1:8080:8080 omni-llm:2026-11-24 serve

## Push the image

Create a repository in ECR once, then log in, tag and push. Use a new tag for each build, so that going back is possible.

    aws ecr create-repository --repository-name omni-llm
    aws ecr get-login-password | docker login --username AWS \\
      --password-stdin ACCOUNT.dkr.ecr.REGION.amazonaws.com
    docker tag omni-llm:2026-11-24 \\
      ACCOUNT.dkr.ecr.REGION.amazonaws.com/omni-llm:2026-11-24
    docker push ACCOUNT.dkr.ecr.REGION.amazonaws.com/omni-llm:2026-11-24

## Create the function

    aws lambda create-function --function-name omni-llm \\
      --package-type Image --architectures x86_64 \\
      --code ImageUri=ACCOUNT.dkr.ecr.REGION.amazonaws.com/omni-llm:2026-11-24 \\
      --role arn:aws:iam::ACCOUNT:role/omni-llm \\
      --memory-size 2048 --timeout 90 \\
      --environment 'Variables={OMNI_LAMBDA_STREAM=true}'

More memory gives a function more processor time, and embedding the question is what needs it. Measure with your own index and \
choose the smallest memory that is fast enough.

### Permissions of the function

The execution role needs the right to write logs, and more only where AWS is asked: bedrock:InvokeModel and \
bedrock:InvokeModelWithResponseStream if Bedrock answers, secretsmanager:GetSecretValue if a key is in Secrets Manager. The \
function reads no bucket: the documents are in the index, and the index is in the image.

### Environment variables

| Variable | Example | What it sets |
| OMNI_PROVIDER | openai | who answers; without it, answers are quoted passages |
| OPENAI_API_KEY | sk-... | the key for OpenAI |
| OPENAI_MODEL | gpt-5.4-mini | the model that is asked |
| REQUEST_TIMEOUT | 60 | seconds for one answer |
| OMNI_LAMBDA_STREAM | true | whether the function is invoked with response streaming |
| OMNI_FALLBACK_EXTRACTIVE | true | whether quoted passages stand in for a failing provider |
| AWS_LAMBDA_LOG_LEVEL | INFO | set by Lambda from the function's logging settings |

All environment variables of a function together may hold 4 KB.

### Timeouts

Set the timeout of the function some seconds longer than REQUEST_TIMEOUT, so that a slow provider leads to a clear error instead \
of a killed function. A Lambda function may run for at most 900 seconds.

## Give it an address

A Function URL is the simplest address, and it can stream. With the authorisation type AWS_IAM, only signed requests reach the \
function.

    aws lambda create-function-url-config --function-name omni-llm \\
      --auth-type AWS_IAM --invoke-mode RESPONSE_STREAM

### Streamed or buffered

With the invoke mode RESPONSE_STREAM the variable OMNI_LAMBDA_STREAM must be true, and with the invoke mode BUFFERED it must be \
false. The event that Lambda delivers does not tell the mode, so the two must be changed together.

### API Gateway and load balancers

The function also understands the events of API Gateway REST APIs, API Gateway HTTP APIs and Application Load Balancers. HTTP \
APIs and Application Load Balancers cannot stream.

| Front door | Streams | Largest body | Longest answer |
| Function URL | yes | 6 MB | the function's timeout |
| REST API | yes | 10 MB, of which Lambda takes 6 MB | 29 s buffered by default |
| HTTP API | no | 10 MB, of which Lambda takes 6 MB | 30 s |
| Application Load Balancer | no | 1 MB | as the load balancer is set |

## Refresh the knowledge

On Lambda, new knowledge is a new image: build it, push it under a new tag, and point the function to it.

    aws lambda update-function-code --function-name omni-llm \\
      --image-uri ACCOUNT.dkr.ecr.REGION.amazonaws.com/omni-llm:2026-12-01

Lambda finishes running requests with the old image and serves new ones with the new image. The digest in metadata.index_digest \
of an answer tells which image answered. To go back, point the function to the previous tag.

## Cold starts

At a cold start the function maps the index and opens the model; it does no work for each document. Only the parts of the image \
that are touched are fetched, so a large index does not by itself make the start slow. The first question after a cold start \
reads the vectors for the first time, so it takes longer than the later ones. With provisioned concurrency or SnapStart nobody \
waits for the start, and they are read ahead; OMNI_LAMBDA_WARM_MB says how much.

The layers of the image are ordered by how often they change: system and certificates, model, program, index. A new index \
therefore replaces the last layer only.

## Logs

The function writes JSON lines with a time and a level that Lambda's log filter understands. There is one line for each request \
and none of them holds a prompt, a passage, an answer or a key.

## If it does not work

- If the function is refused at creation, the image is probably an index of several manifests: build it with --provenance=false.
- If a streamed answer begins with JSON and zero bytes, the invoke mode is BUFFERED while OMNI_LAMBDA_STREAM is true.
- If nothing streams, the invoke mode is RESPONSE_STREAM while OMNI_LAMBDA_STREAM is not set.
- If every answer ends in a timeout, the function may be in a VPC without a way to the provider.
"""


def blocks(text):
    """Parses the text into (kind, content) pairs; kind is h1 h2 h3 p ul ol table code."""
    for paragraph in text.strip().split("\n\n"):
        lines = paragraph.split("\n")
        if lines[0].startswith("    "):
            yield "code", "\n".join(line[4:] for line in lines)
        elif lines[0].startswith("#"):
            marks, _, heading = lines[0].partition(" ")
            yield f"h{len(marks)}", heading
        elif lines[0].startswith("| "):
            yield "table", [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
        elif lines[0].startswith("- "):
            yield "ul", [line[2:] for line in lines]
        elif lines[0].startswith("1. "):
            yield "ol", [line.split(". ", 1)[1] for line in lines]
        else:
            yield "p", " ".join(lines)


def joined(text):
    """The blocks, code with blank lines in it as one."""
    for kind, group in itertools.groupby(blocks(text), key=lambda block: block[0]):
        group = [content for _, content in group]
        yield from [(kind, "\n\n".join(group))] if kind == "code" else [(kind, content) for content in group]


def write_docx(text, path):
    document = docx.Document()
    for kind, content in joined(text):
        if kind == "h1":
            document.add_heading(content, 0)
        elif kind.startswith("h"):
            document.add_heading(content, int(kind[1]) - 1)
        elif kind in ("ul", "ol"):
            for item in content:
                document.add_paragraph(item, "List Bullet" if kind == "ul" else "List Number")
        elif kind == "table":
            table = document.add_table(len(content), len(content[0]), "Light Grid Accent 1")
            for row, cells in zip(table.rows, content):
                for cell, value in zip(row.cells, cells):
                    cell.text = value
        elif kind == "code":
            run = document.add_paragraph("", "No Spacing").add_run(content)
            run.font.name, run.font.size = "Courier New", docx.shared.Pt(9)
        else:
            document.add_paragraph(content)
    about = document.core_properties
    about.title, about.author, about.last_modified_by = title(text), AUTHOR, AUTHOR
    about.comments, about.created, about.modified = "", DATE, DATE
    packed = io.BytesIO()
    document.save(packed)
    # The library stamps every part with the time of day.
    with zipfile.ZipFile(packed) as parts, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for part in parts.namelist():
            out.writestr(zipfile.ZipInfo(part, DATE.timetuple()[:6]), parts.read(part), zipfile.ZIP_DEFLATED, 9)


def write_pdf(text, path):
    sheet = styles.getSampleStyleSheet()
    body = styles.ParagraphStyle("Text", sheet["BodyText"], fontSize=10.5, leading=14, spaceAfter=5)
    item = styles.ParagraphStyle("Item", body, leftIndent=14, bulletIndent=2)
    cell = styles.ParagraphStyle("Cell", body, fontSize=9, leading=11, spaceAfter=0)
    code = styles.ParagraphStyle("Listing", sheet["Code"], fontSize=8.5, leading=11, leftIndent=8, spaceAfter=8)
    grid = TableStyle([
        ("GRID", (0, 0), (-1, -1), 0.5, colors.grey),
        ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ])
    story = []
    for kind, content in joined(text):
        if kind.startswith("h"):
            story.append(Paragraph(escape(content), sheet[{"h1": "Title", "h2": "Heading1", "h3": "Heading2"}[kind]]))
        elif kind in ("ul", "ol"):
            marks = itertools.repeat("-") if kind == "ul" else (f"{number}." for number in itertools.count(1))
            story += [Paragraph(escape(entry), item, bulletText=mark) for entry, mark in zip(content, marks)]
        elif kind == "table":
            rows = [[Paragraph(escape(value), cell) for value in row] for row in content]
            table = Table(rows, style=grid, colWidths=[16 * units.cm / len(rows[0])] * len(rows[0]))
            story.append(KeepTogether([table, Spacer(1, 8)]))
        elif kind == "code":
            story.append(Preformatted(content, code))
        else:
            story.append(Paragraph(escape(content), body))

    def page_number(canvas, _):
        canvas.setFont("Helvetica", 8)
        canvas.drawCentredString(pagesizes.A4[0] / 2, 1.2 * units.cm, str(canvas.getPageNumber()))

    margin = 2.5 * units.cm
    template = SimpleDocTemplate(
        str(path), pagesize=pagesizes.A4, leftMargin=margin, rightMargin=margin, topMargin=2 * units.cm, bottomMargin=2 * units.cm,
        title=title(text), author=AUTHOR, invariant=1, lang="en",
    )
    template.build(story, onFirstPage=page_number, onLaterPages=page_number)


def title(text):
    return next(content for kind, content in blocks(text) if kind == "h1")


if __name__ == "__main__":
    write_docx(HANDBOOK, FOLDER / "operations-handbook.docx")
    write_pdf(LAMBDA, FOLDER / "lambda-deployment.pdf")
