# An image that runs the demo: `make image`, then `docker run --rm arena-hard`.
FROM python:3.12-slim

# The versions that were tested, as in the .venv of `make`.
WORKDIR /arena-hard
COPY requirements.txt constraints.txt ./
RUN pip install --no-cache-dir -r requirements.txt -c constraints.txt

COPY Snakefile ./
COPY workflow workflow
COPY config config
COPY profiles profiles
COPY examples examples

# Not as root; what a run writes belongs to this user.
RUN useradd --create-home --uid 1000 arena && chown arena .
USER 1000

ENTRYPOINT ["snakemake"]
