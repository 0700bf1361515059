# One image, one command: `callcard run TARGET`. Everything is built from the hash-locked requirement files.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/callcard
COPY requirements.lock ./
COPY requirements/node.lock requirements/node.lock
RUN /opt/callcard/bin/pip install -q --require-hashes -r requirements.lock
# Node only to build the page; it stays in this stage.
RUN python3 -m venv /opt/node && /opt/node/bin/pip install -q --require-hashes -r requirements/node.lock
COPY . .
RUN PATH=/opt/node/bin:$PATH PYTHONPATH=/src /opt/callcard/bin/python -m services.desk.build \
 && /opt/callcard/bin/pip install -q --no-deps --no-build-isolation .

FROM ${BASE}
RUN useradd --system --uid 10001 --home-dir /var/lib/callcard --create-home callcard
COPY --from=build /opt/callcard /opt/callcard
ENV PATH=/opt/callcard/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CALLCARD_DATA_DIR=/var/lib/callcard \
    CALLCARD_HTTP__HOST=0.0.0.0
USER callcard
WORKDIR /var/lib/callcard
VOLUME /var/lib/callcard
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["callcard"]
CMD ["run", "all"]
