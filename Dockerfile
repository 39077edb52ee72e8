# An image with the locked install; it runs the quickstart:
#
#     docker build --tag lam-envs .
#     docker run --name quickstart lam-envs
#     docker cp quickstart:/lam-envs/runs/quickstart/report.html .
#
# Other commands come after the name of the image:
#
#     docker run --rm lam-envs python -m agents evaluate bc/LamGrasp-v0 --env LamGrasp-v0
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*

# Without CUDA, torch takes 0.7 GB instead of several. The locked version has a CPU build in this index.
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu \
    PIP_NO_CACHE_DIR=1 \
    PATH=/lam-envs/.venv/bin:$PATH

RUN useradd --create-home lam && mkdir /lam-envs && chown lam: /lam-envs
USER lam
WORKDIR /lam-envs
COPY --chown=lam:lam . .
RUN make install

CMD ["make", "quickstart"]
